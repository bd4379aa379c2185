"""The protocol: train on day t, evaluate on day t+1, carry model and optimizer over, move on."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import numpy as np
import torch
from transformers import set_seed

from transformers4recsys import distributed
from transformers4recsys.data.moments import Moments
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.day_format import TEST, VALID
from transformers4recsys.models import AnyModel
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.attention import AttentionFiles
from transformers4recsys.reporting.reporter import Reporter
from transformers4recsys.settings import check, setting
from transformers4recsys.terminal import counted
from transformers4recsys.training import checkpoint
from transformers4recsys.training.best_weights import BEST_METRICS, BestWeights
from transformers4recsys.training.callbacks import TrainingProgress, ValidateEvery
from transformers4recsys.training.inside_day import StoppableReader, StoppedError, StopRequest, starting_at
from transformers4recsys.training.resume import Resumed
from transformers4recsys.training.run_writer import RunWriter
from transformers4recsys.training.trainer import RecSysTrainer, drop_none, format_metrics

log = logging.getLogger(__name__)
# With fewer steps a day hardly moves a model.
FEW_STEPS = 20


@dataclass(frozen=True)
class Protocol:
    """Protocol: what is trained and evaluated each day"""

    training_time_window_size: int = setting(1, "train each day on the files of the last n days", at_least=1)
    eval_on_test_set: bool = setting(False, "evaluate on test files in place of valid files")
    eval_steps_on_train_set: int = setting(20, "batches of the train files that are evaluated", at_least=0)
    validate_every: int = setting(-1, "also evaluate every n epochs inside a day; -1 never")
    early_stopping_patience: int = setting(
        0,
        "end a day after so many validations without a better `best_metric`, and keep its best weights; 0 never",
        at_least=0,
        used_if=lambda own: own.validate_every > 0,
        unused_because="`validate_every` is off",
    )
    best_metric: str = setting("ndcg@20", "what the best weights are best in", choices=BEST_METRICS)
    ema_decay: float = setting(
        0.0,
        "validate and keep the moving average of a day's weights, which each step moves by 1 less this; 0 none",
        at_least=0,
        below=1,
    )
    train_on_last_day: bool = setting(
        False, "train on the last day too, after its evaluation: a model for tomorrow", if_changed="ignore"
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def eval_split(self) -> str:
        return TEST if self.eval_on_test_set else VALID

    @property
    def stops_early(self) -> bool:
        return self.early_stopping_patience > 0 and self.validate_every > 0

    def validations(self) -> list[ValidateEvery]:
        """Make what asks for evaluations inside a day, if there are any."""
        return [ValidateEvery(self.validate_every, keeps_best=self.stops_early)] if self.validate_every > 0 else []

    @property
    def validation_split(self) -> str:
        """What is evaluated inside a day: where it chooses weights, it is not what they are reported on, if it can."""
        return VALID if self.stops_early else self.eval_split


@dataclass(frozen=True)
class DayReaders:
    """How day files are opened, to train on a day or to evaluate a split, and what checking a day's train file told.

    That is how often, and in how many sessions, it and the files of a number of days before it have each item, (V,)
    each, and mean and standard deviation of each numeric column of its own.

    Of the train split, `to_evaluate` need only give the first batches. For baselines, `to_count` reads the train file
    in its own order, all of it in every process, and `number_of` numbers the days.
    """

    to_train: Callable[[datetime], Reader]
    to_evaluate: Callable[[datetime, str], Reader]
    to_count: Callable[[datetime], Reader]
    number_of: Callable[[datetime], int]
    item_counts: Callable[[datetime, int], tuple[np.ndarray, np.ndarray]]
    moments: Callable[[datetime], Sequence[Moments]]


@dataclass(frozen=True)
class Incremental:
    """Runs the days one after the other; `name_of` says what a day is called."""

    trainer: RecSysTrainer
    readers: DayReaders
    reporter: Reporter
    progress: TrainingProgress
    writer: RunWriter
    name_of: Callable[[datetime], str]
    protocol: Protocol = Protocol()
    does_train: bool = True
    does_evaluate: bool = True
    logs_predictions: bool = False
    attention_files: AttentionFiles | None = None
    stop: StopRequest = field(default_factory=StopRequest)
    # Called when a day is finished and saved.
    on_day: Callable[[], None] = lambda: None
    # Days whose few steps were told: only the first one is.
    told: list[str] = field(default_factory=list)

    def run(self, days: Sequence[datetime], *, resumed: Resumed | None = None) -> None:
        """Go through each pair of neighbours in `days`, from where `resumed` stopped, and close the reporter.

        SystemExit after a signal.
        """
        if self.protocol.stops_early and self.protocol.validation_split == self.protocol.eval_split:
            log.warning("the files that choose the best weights are evaluated too; `eval_on_test_set` takes others")
        trains_on_last = self.does_train and self.protocol.train_on_last_day
        next_days = [*days[1:], None] if trains_on_last else days[1:]
        with self.stop.running():
            for day, next_day in zip(days, next_days, strict=False):
                progress = self.writer.progress
                if day.isoformat() <= progress.last_day:
                    if next_day and day.isoformat() == progress.last_day and progress.awaits_evaluation:
                        self._evaluate_trained(day, next_day)
                    continue
                if self.stop.agreed():
                    is_begun = bool(resumed or self.writer.progress.last_day)
                    self.stop.end(f"before {self.name_of(day)}", can_go_on=self.does_train and is_begun)
                inside = resumed if resumed and resumed.inside_day == day.isoformat() else None
                self._run_day(day, next_day, inside)
            self.reporter.close()
            if self.stop.agreed():
                self.stop.end("when all days were finished", can_go_on=False)

    def _evaluate_trained(self, day: datetime, next_day: datetime) -> None:
        """Evaluate on its next day what an earlier call trained on the last day that it had."""
        if not self.does_evaluate:
            return
        try:
            numbers = self._evaluate(day, next_day)
        except StoppedError:
            self.stop.end(f"before {self.name_of(next_day)} was evaluated")
        if self.does_train:
            self.writer.save_evaluation(self.trainer, numbers)
        distributed.barrier()

    def _run_day(self, day: datetime, next_day: datetime | None, inside: Resumed | None) -> None:
        self._seed(day)
        if self.does_train:
            self._train(day, next_day, inside)
        try:
            if not self.trainer.has_left_last_step or self.writer.has_saved(self.trainer, day.isoformat()):
                self.stop.require_none()
            numbers = self._evaluate(day, next_day) if self.does_evaluate and next_day else {}
        except StoppedError:
            step = self.trainer.state.global_step if self.does_train else 0
            if not step:
                self.stop.end(f"in the evaluation after {self.name_of(day)}", can_go_on=False)
            self.writer.save_step(self.trainer, day.isoformat())
            self.stop.end(f"after step {step} of {self.name_of(day)}, which is saved")
        if self.does_train:
            self.writer.save_day(self.trainer, day.isoformat(), numbers, awaits_evaluation=next_day is None)
        distributed.barrier()
        self.on_day()

    def _seed(self, day: datetime) -> None:
        """Draw from here on what a run that is resumed with this day draws; torch's draws are a rank's own."""
        seed = self.trainer.args.seed + day.toordinal() * 24 + day.hour
        set_seed(seed)
        if rank := distributed.rank():
            torch.manual_seed(int(np.random.SeedSequence([seed, rank]).generate_state(1)[0]))

    def _train(self, day: datetime, next_day: datetime | None, inside: Resumed | None) -> None:
        reader = self.readers.to_train(day)
        if not inside:
            self._fit_to(day)
        log.info("%s: training on %s", self.name_of(day), counted(reader.num_rows, "session"))
        if not self._model.has_gradients:
            self.trainer.state.log_history = []
            return
        if not distributed.sum_over_ranks(torch.tensor(len(reader))):
            log.warning("%s: too few sessions for a batch; the model stays as it is", self.name_of(day))
            self.trainer.state.global_step, self.trainer.state.log_history = 0, []
            return
        self._warn_of_few_steps(reader, self.name_of(day))
        self.trainer.train_reader = reader
        self.trainer.save_inside_day = lambda: self.writer.save_step(self.trainer, day.isoformat())
        if self.protocol.validate_every > 0 and next_day:
            self.trainer.eval_reader = self.readers.to_evaluate(next_day, self.protocol.validation_split)
        self.trainer.best = BestWeights(
            self.protocol.best_metric, self.protocol.early_stopping_patience if self.protocol.stops_early else 0
        )
        self.trainer.average.begin(self.protocol.ema_decay)
        self.progress.description = f"train    {self.name_of(day)}"
        self.trainer.watch.start(self.name_of(day))
        with self._start_of(inside):
            self.trainer.train()
        self._end_training(day)
        # Before the day is evaluated: scores of weights that are not numbers are none either.
        model, optimizer = self.trainer.model, self.trainer.optimizer
        assert isinstance(model, torch.nn.Module) and (
            optimizer is None or isinstance(optimizer, torch.optim.Optimizer)
        )
        self.trainer.watch.check_model(model, optimizer, self.trainer.state.global_step)

    def _warn_of_few_steps(self, reader: Reader, name: str) -> None:
        """Say on the first such day that its steps are too few to learn from."""
        args = self.trainer.args
        steps = math.ceil(reader.num_steps / args.gradient_accumulation_steps) * args.num_train_epochs
        if args.max_steps > 0 or steps >= FEW_STEPS or self.told:
            return
        self.told.append(name)
        log.warning(
            "%s: %s are few to learn from: lower `per_device_train_batch_size` (now %d), or raise "
            "`num_train_epochs` (now %g) or `training_time_window_size` (now %d)",
            *(name, counted(math.ceil(steps), "step"), args.per_device_train_batch_size, args.num_train_epochs),
            self.protocol.training_time_window_size,
        )

    def _end_training(self, day: datetime) -> None:
        """Let the model have the best or the averaged weights, where they are asked for."""
        best = self.trainer.best
        self.trainer.average.restore(self._model)
        if best.weights:
            best.restore(self._model)
            log.info("%s: weights of epoch %g, %s %.4f", self.name_of(day), best.epoch, best.metric, best.value)
        if self.protocol.validation_split != self.protocol.eval_split:
            self.trainer.eval_reader = None

    @contextmanager
    def _start_of(self, inside: Resumed | None) -> Iterator[None]:
        """Let the training of a day begin where an earlier run was in it."""
        if inside is None or inside.state.position is None:
            yield
            return
        model = self._model
        checkpoint.load_kept(self.trainer, inside.state)
        with starting_at(
            self.trainer,
            inside.state.position,
            log_history=inside.log_history_of_day,
            restore_random=lambda: checkpoint.restore_random(inside.state, model),
        ):
            yield

    @property
    def _model(self) -> AnyModel:
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    def _fit_to(self, day: datetime) -> None:
        """Count the items of the day, let baselines learn, and take the scale of numeric columns that have none yet."""
        model = self._model
        baselines = list(self.trainer.beside.values())
        if model.has_gradients is False:
            baselines.append(model)
        elif model.features.scale is not None:
            moments = self.readers.moments(day)
            model.features.scale.fit([each.mean for each in moments], [each.std for each in moments])
        item_counts, session_counts = map(torch.from_numpy, self.readers.item_counts(day, 1))
        model.add_counts(item_counts, session_counts)
        shift = None if model.has_gradients is False else model.popularity_shift
        if shift is not None:
            of_window, _ = self.readers.item_counts(day, self.protocol.training_time_window_size)
            shift.add_day(item_counts, torch.from_numpy(of_window))
        for batch in self.readers.to_count(day).batches(0) if baselines else ():
            for baseline in baselines:
                baseline.learn(batch, self.readers.number_of(day))

    def _evaluate(self, day: datetime, next_day: datetime) -> dict[str, float | None]:
        name = self.name_of(next_day)
        # What validated inside the day holds the same rows.
        reader = self.trainer.eval_reader or self.readers.to_evaluate(next_day, self.protocol.eval_split)
        self.trainer.eval_reader = None
        eval_numbers = self.trainer.measure(
            _stoppable(reader, self.trainer, self.stop),
            split="eval",
            description=f"evaluate {name}",
            on_predictions=(lambda p: self.reporter.predictions(p, name)) if self.logs_predictions else None,
            on_attentions=partial(self.attention_files.write, name) if self.attention_files else None,
        )
        train_numbers = self.trainer.measure(
            _stoppable(self.readers.to_evaluate(day, "train"), self.trainer, self.stop),
            split="train",
            description=f"evaluate {self.name_of(day)} train",
            max_batches=self.protocol.eval_steps_on_train_set,
        )
        self.trainer.log(drop_none(eval_numbers) | drop_none(train_numbers))
        self.reporter.numbers(Report(name, "train", train_numbers))
        self.reporter.numbers(Report(name, "eval", eval_numbers))
        say = log.warning if eval_numbers["eval_recall@20"] is None else log.info
        say("%s: %s", name, format_metrics(eval_numbers, "eval"))
        return eval_numbers


def _stoppable(reader: Reader, trainer: RecSysTrainer, stop: StopRequest) -> Reader:
    return reader if trainer.has_left_last_step else StoppableReader(reader, stop, trainer.args.device)
