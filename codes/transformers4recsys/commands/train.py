"""Where settings become a run: files, readers, reporter, trainer; the model is built in build_model."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from transformers4recsys import distributed
from transformers4recsys.config import DataArguments, ModelArguments, TrainingArguments, bytes_of, required
from transformers4recsys.data.checks import CheckedFile, add_moments, check_files, count_items
from transformers4recsys.data.days import DayFiles, day_files
from transformers4recsys.data.parquet.files import redact_credentials
from transformers4recsys.data.readers import READERS
from transformers4recsys.data.readers.library import Library, Reading
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.errors import InputError
from transformers4recsys.idle_flags import without_effect
from transformers4recsys.model.build import (
    choose,
    encoder_name,
    is_saved_run,
    model_of,
    schema_of,
    unused_encoder_flags,
)
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.reporting.attention import AttentionFiles
from transformers4recsys.reporting.loggers import chosen_loggers, close_wandb, open_logger
from transformers4recsys.reporting.output_folder import remove_half_written, start_anew
from transformers4recsys.reporting.reporter import SINKS, Reporter
from transformers4recsys.schema import Schema
from transformers4recsys.terminal import counted, show_log_lines
from transformers4recsys.training import checkpoint
from transformers4recsys.training.callbacks import ContinuousLog, Profile, TrainingProgress, ValidateEvery
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.incremental import DayReaders, Incremental
from transformers4recsys.training.memory import keep_freed_memory
from transformers4recsys.training.sharding import shard
from transformers4recsys.training.trainer import RecSysTrainer, Schedule

log = logging.getLogger(__name__)


def train(data: DataArguments, model: ModelArguments, training: TrainingArguments) -> None:
    """Check the input, build the program and run all days."""
    _require(data, model, training)
    # From here on one of the processes of the run, if there are several, talks and writes.
    assert training.device
    _require_processes(training)
    show_log_lines()
    keep_freed_memory()
    for note in [*training.notes, *without_effect(data, model, training)]:
        log.warning(note)
    schema = schema_of(data)
    if schema.ignored:
        prefix = data.session_aware_features_prefix
        log.warning("%d columns %s... hold past sessions: ignored without --session_aware", len(schema.ignored), prefix)
    library = choose(READERS, data.data_loader_engine, "--data_loader_engine")
    if library:
        library.check_usable(data.data_path or "")
    days = _days_of(data, training)
    checked = check_files(days.all_files(), schema, session_length_max=data.session_seq_length_max)
    if library:
        together = days.read_together(training.training_time_window_size if training.do_train else 1)
        library.check_readable(together, schema, bytes_of(data, "loader_memory"))
    next_item_model = model_of(data, model, training, schema)
    for name in unused_encoder_flags(next_item_model.encoder, model, training):
        log.warning("--%s has no effect here: the encoder %s has no use for it", name, encoder_name(model))

    output_dir, resumed_from, progress = _output_of(training)
    settings = _all_settings(data, model, training) | {"days_skipped": [days.unit.name(day) for day in days.missing]}
    _write_model_settings(output_dir, data, model, schema)
    bar = TrainingProgress()
    loggers = _loggers_of(training, settings, first_step=progress.num_steps if progress else 0)
    callbacks = [bar, *loggers, *_optional_callbacks(training, output_dir)]
    trainer = _trainer_of(next_item_model, training, callbacks, has_lazy_updates=model.sparse_item_updates)
    if resumed_from:
        checkpoint.load(trainer, resumed_from)
    reporter = Reporter([make(output_dir) for make in SINKS.values()], settings)
    run = Incremental(
        trainer=trainer,
        readers=_readers_of(library, data, training, schema, days, checked),
        reporter=reporter,
        progress=bar,
        output_dir=output_dir,
        name_of=days.unit.name,
        eval_split=_eval_split(training),
        does_train=training.do_train,
        does_evaluate=training.do_eval,
        eval_steps_on_train_set=training.eval_steps_on_train_set,
        validates=training.validate_every > 0,
        logs_predictions=training.log_predictions,
        attention_files=AttentionFiles(output_dir) if training.log_attention_weights else None,
    )
    run.run(days.present, after=progress)
    reporter.close()
    for logger in loggers:
        logger.close(trainer.args, trainer.state, trainer.control)
    close_wandb()


def _eval_split(training: TrainingArguments) -> str:
    return "test" if training.eval_on_test_set else "valid"


def _days_of(data: DataArguments, training: TrainingArguments) -> DayFiles:
    days = day_files(
        data.data_path or "",
        data.start_date or "",
        data.end_date or "",
        time_unit=data.time_unit,
        eval_split=_eval_split(training),
        skip_missing=data.missing_days == "skip",
    )
    for day in days.missing:
        log.warning("%s: files are missing; the run goes on without them", days.unit.name(day))
    log.info("checking the files of %s", counted(len(days.present), data.time_unit))
    return days


def _readers_of(
    library: Library | None,
    data: DataArguments,
    training: TrainingArguments,
    schema: Schema,
    days: DayFiles,
    checked: Mapping[str, CheckedFile],
) -> DayReaders:
    open_files = partial(
        DayReader,
        schema=schema,
        session_length_max=data.session_seq_length_max,
        past_length_max=data.session_aware_past_seq_length_max,
        seed=training.seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        memory_bytes=bytes_of(data, "loader_memory"),
        library=library,
        footers={file: of_file.footer for file, of_file in checked.items()},
        reading=Reading(data.workers_count, data.petastorm_reader_pool_type, data.nvt_part_mem_fraction),
    )
    to_evaluate = partial(open_files, batch_size=training.per_device_eval_batch_size, shuffle=False, drop_last=False)

    def to_train(day: datetime) -> Reader:
        return open_files(
            days.train_files(day, training.training_time_window_size),
            day=day,
            batch_size=training.per_device_train_batch_size,
            shuffle=data.shuffle_buffer_size > 0,
            buffer_rows=data.shuffle_buffer_size or None,
            drop_last=training.dataloader_drop_last,
        )

    batch_of_all_ranks = training.per_device_eval_batch_size * distributed.world_size()
    first_sessions = {"train": training.eval_steps_on_train_set * batch_of_all_ranks}
    return DayReaders(
        to_train=to_train,
        to_evaluate=lambda day, split: to_evaluate(
            days.files(day, split), day=day, max_sessions=first_sessions.get(split)
        ),
        item_counts=lambda day: count_items(
            (checked[file] for file in days.files(day, "train")), schema.item_id.cardinality
        ),
        moments=lambda day: add_moments(checked[file] for file in days.files(day, "train")),
    )


def _output_of(training: TrainingArguments) -> tuple[Path, Path | None, checkpoint.Progress | None]:
    output_dir = Path(training.output_dir or "").expanduser()
    asked = training.resume_from_checkpoint
    if not asked:
        if distributed.is_main():
            start_anew(output_dir, may_overwrite=training.overwrite_output_dir)
        distributed.barrier()
        return output_dir, None, None
    folder = output_dir if asked.lower() == "true" else Path(asked).expanduser()
    progress = checkpoint.read_progress(folder)
    if distributed.is_main():
        if folder.resolve() == output_dir.resolve():
            remove_half_written(output_dir)
        else:
            start_anew(output_dir, may_overwrite=training.overwrite_output_dir)
    distributed.barrier()
    return output_dir, folder, progress


def _loggers_of(training: TrainingArguments, settings: Mapping[str, Any], *, first_step: int) -> list[ContinuousLog]:
    if not distributed.is_main():
        return []
    names = chosen_loggers(list(training.report_to or []))
    # W&B writes the command line down.
    sys.argv[:] = [redact_credentials(word) for word in sys.argv]
    run_name = training.run_name or Path(training.output_dir or "").expanduser().resolve().name
    opened = [
        open_logger(name, group=training.experiments_group, run_name=run_name, settings=settings) for name in names
    ]
    return [ContinuousLog(callback, first_step=first_step) for callback in opened]


def _optional_callbacks(training: TrainingArguments, output_dir: Path) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = []
    if training.validate_every > 0:
        callbacks.append(ValidateEvery(training.validate_every))
    if training.pyprof and distributed.is_main():
        steps = {"first_step": training.pyprof_start_step, "last_step": training.pyprof_stop_step}
        callbacks.append(Profile(output_dir / "profile", **steps))
    return callbacks


def _trainer_of(
    model: NextItemModel, training: TrainingArguments, callbacks: list[TrainerCallback], *, has_lazy_updates: bool
) -> RecSysTrainer:
    if training.fsdp:
        shard(model, training.device)
    return RecSysTrainer(
        model,
        _library_arguments(training),
        schedule=Schedule(
            training.learning_rate_schedule,
            training.learning_rate_warmup_steps,
            training.learning_rate_num_cosine_cycles_by_epoch,
        ),
        evaluation=Evaluation(training.compute_metrics_each_n_steps, training.predict_top_k),
        callbacks=callbacks,
        has_lazy_updates=has_lazy_updates,
    )


def _library_arguments(training: TrainingArguments) -> TrainingArguments:
    # What we do ourselves is switched off there: its loggers, its label smoothing, its sharding (on GPUs only).
    arguments = copy.copy(training)
    if training.fsdp:
        arguments.fsdp = arguments.fsdp_plugin_args = None
        # Gradients of micro-batches are summed up in parts too.
        arguments.accelerator_config = copy.copy(training.accelerator_config)
        arguments.accelerator_config.gradient_accumulation_kwargs = {"sync_each_batch": True}  # pyright: ignore
    arguments.report_to, arguments.label_smoothing_factor = [], 0.0
    # Encoders freeze what gets no gradient; a search for it would make Reformer's nested backward passes fail.
    arguments.ddp_find_unused_parameters = bool(training.ddp_find_unused_parameters)
    return arguments


def _all_settings(*groups: Any) -> dict[str, Any]:
    return {name: value for group in groups for name, value in _plain(group).items()}


def _plain(group: Any) -> dict[str, Any]:
    settings = group.to_sanitized_dict() if type(group) is TrainingArguments else dataclasses.asdict(group)
    return {name: redact_credentials(value) if type(value) is str else value for name, value in settings.items()}


def _write_model_settings(output_dir: Path, data: DataArguments, model: ModelArguments, schema: Schema) -> None:
    if not distributed.is_main():
        return
    settings: dict[str, Any] = {
        "data": _plain(data),
        "model": _plain(model),
        "features": schema.to_entries(),
    }
    (output_dir / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _require(data: DataArguments, model: ModelArguments, training: TrainingArguments) -> None:
    required(data, "data_path", "start_date", "end_date", "feature_config")
    required(training, "output_dir")
    if not (training.do_train or training.do_eval):
        raise InputError("nothing to do: give --do_train, --do_eval or both")
    if training.do_train or training.resume_from_checkpoint:
        return
    if not (model.model_name_or_path and is_saved_run(model.model_name_or_path)):
        raise InputError(
            "--do_eval without --do_train needs trained weights: give the --output_dir of a finished run as "
            "--resume_from_checkpoint or --model_name_or_path"
        )


def _require_processes(training: TrainingArguments) -> None:
    if training.fsdp and distributed.world_size() == 1:
        raise InputError(
            "--fsdp shares the model out among processes, and here is one: start with torchrun, or leave it out"
        )
