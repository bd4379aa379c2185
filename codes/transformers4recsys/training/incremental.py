"""The protocol: train on day t, evaluate on day t+1, carry model and optimizer over, move on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import set_seed

from transformers4recsys import distributed
from transformers4recsys.data.moments import Moments
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.attention import AttentionFiles
from transformers4recsys.reporting.reporter import Reporter
from transformers4recsys.terminal import counted
from transformers4recsys.training import checkpoint
from transformers4recsys.training.callbacks import TrainingProgress
from transformers4recsys.training.trainer import RecSysTrainer, drop_none, format_metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DayReaders:
    """How day files are opened, to train on a day or to evaluate a split, and what checking a day's train file told.

    That is how often it has each item, (V,), and mean and standard deviation of each numeric column.

    Of the train split, `to_evaluate` need only give the first batches.
    """

    to_train: Callable[[datetime], Reader]
    to_evaluate: Callable[[datetime, str], Reader]
    item_counts: Callable[[datetime], np.ndarray]
    moments: Callable[[datetime], Sequence[Moments]]


@dataclass(frozen=True)
class Incremental:
    """Runs the days one after the other; `eval_split` is valid or test, `name_of` says what a day is called."""

    trainer: RecSysTrainer
    readers: DayReaders
    reporter: Reporter
    progress: TrainingProgress
    output_dir: Path
    name_of: Callable[[datetime], str]
    eval_split: str = "valid"
    does_train: bool = True
    does_evaluate: bool = True
    eval_steps_on_train_set: int = 20
    validates: bool = False
    logs_predictions: bool = False
    attention_files: AttentionFiles | None = None

    def run(self, days: Sequence[datetime], *, after: checkpoint.Progress | None = None) -> None:
        """Go through each pair of neighbours in `days`; `after` the progress of an earlier run, if any."""
        num_steps = after.num_steps if after else 0
        for day, next_day in zip(days, days[1:], strict=False):
            if after and day.isoformat() <= after.last_day:
                continue
            self._seed(day)
            if self.does_train:
                self._train(day, next_day)
                num_steps += self.trainer.state.global_step
            if self.does_evaluate:
                self._evaluate(day, next_day)
            if self.does_train:
                checkpoint.save(self.trainer, self.output_dir, day=day, num_steps=num_steps)
            distributed.barrier()

    def _seed(self, day: datetime) -> None:
        """Draw from here on what a run that is resumed with this day draws; torch's draws are a rank's own."""
        seed = self.trainer.args.seed + day.toordinal() * 24 + day.hour
        set_seed(seed)
        if rank := distributed.rank():
            torch.manual_seed(int(np.random.SeedSequence([seed, rank]).generate_state(1)[0]))

    def _train(self, day: datetime, next_day: datetime) -> None:
        reader = self.readers.to_train(day)
        self._fit_to(day)
        log.info("%s: training on %s", self.name_of(day), counted(reader.num_rows, "session"))
        if not distributed.sum_over_ranks(torch.tensor(len(reader))):
            log.warning("%s: too few sessions for a batch; the model stays as it is", self.name_of(day))
            self.trainer.state.global_step = 0
            return
        self.trainer.train_reader = reader
        if self.validates:
            self.trainer.eval_reader = self.readers.to_evaluate(next_day, self.eval_split)
        self.progress.description = f"train    {self.name_of(day)}"
        self.trainer.watch.start(self.name_of(day))
        self.trainer.train()
        # Before the day is evaluated: scores of weights that are not numbers are none either.
        self.trainer.watch.check_model(self.trainer.model, self.trainer.optimizer, self.trainer.state.global_step)

    def _fit_to(self, day: datetime) -> None:
        """Count the items of the day, and take the scale of numeric columns that have none yet."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        if model.features.scale is not None:
            moments = self.readers.moments(day)
            model.features.scale.fit([each.mean for each in moments], [each.std for each in moments])
        model.add_counts(torch.from_numpy(self.readers.item_counts(day)))

    def _evaluate(self, day: datetime, next_day: datetime) -> None:
        name = self.name_of(next_day)
        # What validated inside the day holds the same rows.
        reader = self.trainer.eval_reader or self.readers.to_evaluate(next_day, self.eval_split)
        self.trainer.eval_reader = None
        eval_numbers = self.trainer.measure(
            reader,
            split="eval",
            description=f"evaluate {name}",
            on_predictions=(lambda p: self.reporter.predictions(p, name)) if self.logs_predictions else None,
            on_attentions=partial(self.attention_files.write, name) if self.attention_files else None,
        )
        train_numbers = self.trainer.measure(
            self.readers.to_evaluate(day, "train"),
            split="train",
            description=f"evaluate {self.name_of(day)} train",
            max_batches=self.eval_steps_on_train_set,
        )
        self.trainer.log(drop_none(eval_numbers) | drop_none(train_numbers))
        self.reporter.numbers(Report(name, "train", train_numbers))
        self.reporter.numbers(Report(name, "eval", eval_numbers))
        say = log.warning if eval_numbers["eval_recall@20"] is None else log.info
        say("%s: %s", name, format_metrics(eval_numbers, "eval"))
