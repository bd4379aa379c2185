"""Trains on day t, evaluates on day t+1 and moves on: settings in; files, readers, model and trainer built."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from transformers4recsys import distributed
from transformers4recsys.baselines import BaselineSettings
from transformers4recsys.baselines.model import BaselineModel
from transformers4recsys.data.checks import CheckedFile
from transformers4recsys.data.days import DayFiles
from transformers4recsys.data.parquet.files import redact_credentials
from transformers4recsys.data.texts import texts_of_day
from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model, unused_encoder_settings
from transformers4recsys.model.content import ItemData
from transformers4recsys.model.features import with_table_widths
from transformers4recsys.model.growth import GrowthSettings
from transformers4recsys.model.objectives import OBJECTIVES
from transformers4recsys.models import AnyModel, build_baseline, is_baseline, unused_by_baselines
from transformers4recsys.next_model import settle
from transformers4recsys.reporting import wandb_runs
from transformers4recsys.reporting.attention import AttentionFiles, AttentionSettings
from transformers4recsys.reporting.loggers import LoggerSettings, chosen_loggers, open_loggers
from transformers4recsys.reporting.output_folder import OutputFolder, OutputSettings, claimed
from transformers4recsys.reporting.predictions import PredictionFiles, PredictionSettings, raw_item_ids
from transformers4recsys.reporting.reporter import SINKS, Reporter
from transformers4recsys.reporting.sink import Sink
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.schema import Schema
from transformers4recsys.settings import converted, from_values, if_changed, part, required, unused
from transformers4recsys.terminal import counted, show_log_lines
from transformers4recsys.training import checkpoint
from transformers4recsys.training.callbacks import (
    ContinuousLog,
    ProfileSettings,
    TrainingProgress,
    profiles,
)
from transformers4recsys.training.day_files import DataSettings, checked_files, day_readers, found_days
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.incremental import DayReaders, Incremental, Protocol
from transformers4recsys.training.inside_day import RESUME, StopRequest
from transformers4recsys.training.item_content import read_compared_items, read_item_data
from transformers4recsys.training.launch import LaunchSettings
from transformers4recsys.training.memory import keep_freed_memory
from transformers4recsys.training.recorded_settings import sections_of
from transformers4recsys.training.resume import goes_on_in_place, load, open_resumed, start_from, writer_of
from transformers4recsys.training.sharding import require_processes, shard
from transformers4recsys.training.shared_tables import require_shareable, shards_of
from transformers4recsys.training.sparse_gradients import ItemUpdates, choose_gradients, require_possible
from transformers4recsys.training.trainer import RecSysTrainer, Schedule
from transformers4recsys.training.training_arguments import LibrarySettings, for_the_trainer, library_arguments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained and evaluated, and what is written."""

    library: Any = part(LibrarySettings)
    schedule: Schedule = part(Schedule)
    protocol: Protocol = part(Protocol)
    evaluation: Evaluation = part(Evaluation)
    item_updates: ItemUpdates = part(ItemUpdates)
    growth: GrowthSettings = part(GrowthSettings)
    launch: LaunchSettings = part(LaunchSettings)
    output: OutputSettings = part(OutputSettings)
    predictions: PredictionSettings = part(PredictionSettings)
    attention: AttentionSettings = part(AttentionSettings)
    loggers: LoggerSettings = part(LoggerSettings)
    profile: ProfileSettings = part(ProfileSettings)


@dataclass(frozen=True)
class TrainSettings:
    """The sections of a run's settings."""

    data: DataSettings = part(DataSettings)
    model: ModelSettings = part(ModelSettings)
    baselines: BaselineSettings = part(BaselineSettings)
    training: TrainingSettings = part(TrainingSettings)


SETTINGS = TrainSettings


def run(values: Mapping[str, Any]) -> None:
    """Train with settings by name."""
    train(from_values(TrainSettings, values))


def train(
    settings: TrainSettings, sinks: Mapping[str, Callable[[Path], Sink]] = SINKS, *, after_a_stop: str = RESUME
) -> None:
    """Check the input, build the program and run all days; `sinks` take the numbers of each.

    `after_a_stop` is what a signal's line advises.
    """
    _require(settings)
    with StopRequest(after_a_stop).listening() as stop:
        _train(settings, sinks, stop)
    wandb_runs.close_run()


def _train(settings: TrainSettings, sinks: Mapping[str, Callable[[Path], Sink]], stop: StopRequest) -> None:
    data, training = settings.data, settings.training
    # From here on one of the processes of the run, if there are several, talks and writes.
    arguments, notes = library_arguments(training.library)
    require_processes(arguments)
    asks_fp16 = _is_on(training.library, "fp16")
    if training.launch.shard_item_tables:
        require_shareable(settings.model, arguments, asks_fp16=asks_fp16)
    if not is_baseline(settings.model):
        reads_all = OBJECTIVES[settings.model.loss.loss_type].kind == "catalogue"
        require_possible(training.item_updates, arguments, reads_all_items=reads_all, asks_fp16=asks_fp16)
    show_log_lines()
    keep_freed_memory()
    for note in [*notes, *unused_settings(settings)]:
        log.warning(note)
    schema = data.sessions.schema(has_texts=training.predictions.log_predictions)
    if schema.ignored:
        prefix = data.sessions.session_aware_features_prefix
        columns = counted(len(schema.ignored), "column")
        log.warning("%s of past sessions (%s...): ignored without `session_aware`", columns, prefix)
    with _output_of(arguments, training.output) as output:
        _train_in(output, settings, schema, arguments, sinks, stop)


def _train_in(
    output: OutputFolder | None,
    settings: TrainSettings,
    schema: Schema,
    arguments: TrainingArguments,
    sinks: Mapping[str, Callable[[Path], Sink]],
    stop: StopRequest,
) -> None:
    training, output_dir = settings.training, _output_dir(arguments)
    days, files = found_days(settings.data, training.protocol, does_train=arguments.do_train)
    sections = sections_of(settings, arguments, schema)
    of_run = {"settings": sections, "schema": schema, "data_path": settings.data.days.data_path or ""}
    last = None if training.protocol.train_on_last_day else -1
    to_train = days.present[:last] if arguments.do_train else []
    asked, rules = arguments.resume_from_checkpoint, if_changed(TrainSettings)
    resumed = open_resumed(asked, output_dir, days_to_train=to_train, if_changed=rules, **of_run)
    name = settings.model.choice.model_name_or_path
    start = RunFolder.open(name) if name and checkpoint.is_saved_run(name) else None
    earlier = resumed.run if resumed else start
    of_run["schema"] = schema = _with_widths(schema, settings.model, earlier)
    # What an earlier run knew of items is kept.
    items = read_item_data(settings.model.content, schema, data_path=of_run["data_path"], earlier=earlier)
    model = _model_of(settings, schema, arguments, start, sections, items)
    # What is wrong with the settings has been said: to read all days can take minutes.
    checked = checked_files(days, files, settings.data, schema, training.protocol, does_train=arguments.do_train)
    described = _described(sections) | {"days_skipped": [days.unit.name(day) for day in days.missing]}
    sinks = _with_raw_values(sinks, settings, schema, days)
    bar = TrainingProgress()
    first_step = resumed.run.progress.num_steps if resumed else 0
    loggers = _loggers_of(arguments, training.loggers, described, first_step=first_step)
    optional = [*training.protocol.validations(), *profiles(training.profile, output_dir)]
    callbacks = [bar, *loggers, *optional, stop]
    beside = _beside(settings, schema)
    trainer = _trainer_of(model, arguments, training, callbacks, beside, of_run["data_path"])
    if resumed:
        load(trainer, resumed, training.growth, data_path=settings.data.days.data_path or "")
    elif arguments.do_train and model.has_gradients:
        trainer.create_optimizer()
    # From here on an earlier run is touched: all that can fail was tried.
    _start(output, arguments)
    run = Incremental(
        trainer=trainer,
        readers=_readers_of(settings, arguments, schema, days, checked),
        reporter=Reporter([make(output_dir) for make in sinks.values()], described),
        progress=bar,
        writer=writer_of(output_dir, resumed=resumed, num_checkpoints=arguments.save_total_limit, **of_run),
        name_of=days.unit.name,
        protocol=training.protocol,
        does_train=arguments.do_train,
        does_evaluate=arguments.do_eval,
        logs_predictions=training.predictions.log_predictions,
        attention_files=AttentionFiles(output_dir) if training.attention.log_attention_weights else None,
        stop=stop,
        on_day=output.keep if output else lambda: None,
    )
    run.run(days.present, resumed=resumed)
    for logger in loggers:
        logger.close(trainer.args, trainer.state, trainer.control)


def unused_settings(settings: TrainSettings) -> list[str]:
    """Say which settings were changed and have no effect, and why."""
    if is_baseline(settings.model):
        reason = f"{settings.model.choice.model_type} is a baseline, which is not trained by gradient"
        reasons = dict.fromkeys(unused_by_baselines(settings.model), reason)
    else:
        loss = settings.model.loss
        reasons = {**unused(settings), **settings.data.reader.unused(), **loss.unused()}
        if settings.training.library.label_smoothing_factor and not OBJECTIVES[loss.loss_type].takes_label_smoothing:
            reasons["label_smoothing_factor"] = f"`loss_type` {loss.loss_type} has no such setting"
    return _without_effect(reasons)


def _without_effect(reasons: Mapping[str, str]) -> list[str]:
    """Say each reason once, behind all settings that have no effect because of it."""
    names_by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names_by_reason.setdefault(reason, []).append(f"`{name}`")
    return [
        f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect here: {reason}"
        for reason, names in names_by_reason.items()
    ]


def _with_widths(schema: Schema, model: ModelSettings, earlier: RunFolder | None) -> Schema:
    multiplier = model.features.embedding_dim_from_cardinality_multiplier
    return with_table_widths(schema, earlier.schema if earlier else None, multiplier=multiplier)


def _model_of(
    settings: TrainSettings,
    schema: Schema,
    arguments: TrainingArguments,
    start: RunFolder | None,
    sections: Mapping[str, Any],
    item_data: ItemData | None,
) -> AnyModel:
    """Build the model: fresh weights drawn from `seed`, or those of the run to start from."""
    if is_baseline(settings.model):
        baseline = build_baseline(schema, settings.model, settings.baselines, settings.model.choice.model_type)
        _start_from(start, baseline, settings, sections)
        return baseline
    wants_attentions, of_model = settings.training.attention.log_attention_weights, settings.model
    if start:
        of_model = replace(of_model, choice=replace(of_model.choice, model_name_or_path=None))
    model = build_model(
        schema,
        of_model,
        max_length=settings.data.sessions.max_length,
        seed=arguments.seed,
        label_smoothing=arguments.label_smoothing_factor,
        has_attentions=wants_attentions,
        item_data=item_data,
        shards=shards_of(schema.item_id.cardinality) if settings.training.launch.shard_item_tables else None,
    )
    names = unused_encoder_settings(model.encoder, of_model, wants_attentions=wants_attentions)
    for note in _without_effect(dict.fromkeys(names, f"the encoder {of_model.choice.name} has no such setting")):
        log.warning(note)
    _start_from(start, model, settings, sections)
    choose_gradients(model, settings.training.item_updates, arguments)
    return model


def _start_from(start: RunFolder | None, model: AnyModel, settings: TrainSettings, sections: Mapping[str, Any]) -> None:
    if start:
        rules, data_path = if_changed(TrainSettings), settings.data.days.data_path or ""
        growth = settings.training.growth
        start_from(model, start, growth, settings=sections, if_changed=rules, data_path=data_path)


def _beside(settings: TrainSettings, schema: Schema) -> dict[str, BaselineModel]:
    """Make the baselines that are measured beside the model."""
    return {
        name: build_baseline(schema, settings.model, settings.baselines, name) for name in settings.baselines.baselines
    }


def _readers_of(
    settings: TrainSettings,
    arguments: TrainingArguments,
    schema: Schema,
    days: DayFiles,
    checked: Mapping[str, CheckedFile],
) -> DayReaders:
    return day_readers(
        settings.data,
        schema,
        days,
        checked,
        arguments=arguments,
        protocol=settings.training.protocol,
        has_all_items=settings.training.evaluation.exclude_seen_in_evaluation,
    )


def _output_dir(arguments: TrainingArguments) -> Path:
    return Path(arguments.output_dir or "").expanduser()


@contextmanager
def _output_of(arguments: TrainingArguments, settings: OutputSettings) -> Iterator[OutputFolder | None]:
    """Hold the output folder, in the process that writes; InputError if another run is there."""
    if not distributed.is_main():
        yield None
        return
    with claimed(_output_dir(arguments)) as output:
        if not goes_on_in_place(arguments.resume_from_checkpoint, output.folder):
            output.require_empty(may_overwrite=settings.overwrite_output_dir)
        else:
            settle(output.folder)
        yield output


def _start(output: OutputFolder | None, arguments: TrainingArguments) -> None:
    if output and goes_on_in_place(arguments.resume_from_checkpoint, output.folder):
        output.go_on()
    elif output:
        output.start()
    distributed.barrier()


def _with_raw_values(
    sinks: Mapping[str, Callable[[Path], Sink]], settings: TrainSettings, schema: Schema, days: DayFiles
) -> Mapping[str, Callable[[Path], Sink]]:
    predictions, data_path = settings.training.predictions, settings.data.days.data_path or ""
    if not predictions.log_predictions:
        return sinks
    raw_ids = raw_item_ids(data_path, schema.item_id.name) if predictions.log_raw_item_ids else None
    texts_of = partial(texts_of_day, days, settings.training.protocol.eval_split, schema)
    return {**sinks, "predictions": partial(PredictionFiles, raw_ids=raw_ids, texts_of=texts_of)}


def _loggers_of(
    arguments: TrainingArguments, settings: LoggerSettings, described: Mapping[str, Any], *, first_step: int
) -> list[ContinuousLog]:
    if not distributed.is_main():
        return []
    names = chosen_loggers(list(arguments.report_to or []))
    # W&B writes the command line down.
    sys.argv[:] = [redact_credentials(word) for word in sys.argv]
    run_name = arguments.run_name or Path(arguments.output_dir or "").expanduser().resolve().name
    opened = open_loggers(names, group=settings.experiments_group, run_name=run_name, settings=described)
    return [ContinuousLog(callback, first_step=first_step) for callback in opened]


def _trainer_of(
    model: AnyModel,
    arguments: TrainingArguments,
    training: TrainingSettings,
    callbacks: list[TrainerCallback],
    beside: Mapping[str, BaselineModel],
    data_path: str,
) -> RecSysTrainer:
    if arguments.fsdp:
        shard(model, arguments.device)
    return RecSysTrainer(
        model,
        for_the_trainer(arguments),
        schedule=training.schedule,
        evaluation=training.evaluation,
        callbacks=callbacks,
        item_updates=training.item_updates,
        beside=beside,
        items=read_compared_items(training.evaluation, model.schema, data_path=data_path),
    )


def _described(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of all sections, by name, as loggers write them down."""
    names = ("data", "model", "baselines", "training")
    return {name: value for section in names for name, value in sections[section].items()}


def _require(settings: TrainSettings) -> None:
    library, choice = settings.training.library, settings.model.choice
    required(settings.data.days, "data_path", "start_date", "end_date")
    required(settings.data.sessions, "feature_config")
    required(library, "output_dir")
    does_train = _is_on(library, "do_train")
    if not (does_train or _is_on(library, "do_eval")):
        raise InputError("nothing to do: give `do_train`, `do_eval` or both")
    if does_train or library.resume_from_checkpoint:
        return
    if not checkpoint.is_saved_run(choice.model_name_or_path):
        raise InputError(
            "`do_eval` without `do_train` needs trained weights: give the `output_dir` of a finished run as "
            "`resume_from_checkpoint` or `model_name_or_path`"
        )


def _is_on(library: Any, name: str) -> bool:
    return converted(name, getattr(library, name), bool)
