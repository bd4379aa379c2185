"""Where in a day the training is, how it begins there again, and how a signal ends it there."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from transformers4recsys import distributed
from transformers4recsys.batch import Batch
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.training.trainer import RecSysTrainer

log = logging.getLogger(__name__)
# What a run that a signal stops is advised to do, by `train` and by commands that train for a purpose of their own.
RESUME = "go on with --resume_from_checkpoint true"
SAME_AGAIN = "give the same command again to go on"

# A launcher passes on a signal that has come from the terminal already.
REPEATED_WITHIN_SECONDS = 2.0


@dataclass(frozen=True)
class Position:
    """How far the training of a day (ISO) came, in optimizer steps; some of them are skipped in mixed precision.

    An epoch had `steps_per_epoch`, and a step `rows_per_step` sessions of all processes together.
    """

    day: str
    step: int
    num_skipped: int
    steps_per_epoch: int
    rows_per_step: int

    @classmethod
    def of(cls, trainer: RecSysTrainer, day: str) -> Position:
        """Say where a trainer is that has just made a step."""
        args = trainer.args
        num_batches = len(trainer.callback_handler.train_dataloader)  # pyright: ignore[reportArgumentType]
        assert isinstance(trainer.lr_scheduler, LambdaLR)
        step = trainer.state.global_step
        return cls(
            day,
            step,
            step - trainer.lr_scheduler.last_epoch,
            math.ceil(num_batches / args.gradient_accumulation_steps),
            rows_of_step(args),
        )

    def step_with(self, *, steps_per_epoch: int, rows_per_step: int) -> int:
        """Give the step to begin with where batches have another size: no session of the epoch is left out."""
        epoch, step = divmod(self.step, self.steps_per_epoch)
        if (steps_per_epoch, rows_per_step) == (self.steps_per_epoch, self.rows_per_step):
            return self.step
        return epoch * steps_per_epoch + min(step * self.rows_per_step // rows_per_step, steps_per_epoch - 1)


def rows_of_step(args: TrainingArguments) -> int:
    """Count the sessions of an optimizer step, over all processes."""
    return args.per_device_train_batch_size * distributed.world_size() * args.gradient_accumulation_steps


@contextlib.contextmanager
def starting_at(
    trainer: RecSysTrainer,
    position: Position,
    *,
    log_history: list[dict[str, float]],
    restore_random: Callable[[], None],
) -> Iterator[None]:
    """Let train() begin at a position of the day: steps, epoch, batches, schedule and random numbers.

    The library would read all that from files of its own, some of them pickles; its loop asks these methods.
    """
    make_state, run_epoch, create_scheduler = (
        trainer._init_training_state,
        trainer._run_epoch,
        trainer.create_scheduler,
    )

    def state_at_position(max_steps: int, steps_per_epoch: int, *others: Any) -> tuple[int, int]:
        make_state(max_steps, steps_per_epoch, *others)
        step = position.step_with(steps_per_epoch=steps_per_epoch, rows_per_step=rows_of_step(trainer.args))
        trainer.state.global_step, trainer.state.epoch = step, step / steps_per_epoch
        trainer.state.log_history = list(log_history)
        epoch, step_of_epoch = divmod(step, steps_per_epoch)
        if trainer.best.is_exhausted:
            # No epoch is left.
            return sys.maxsize, 0
        return epoch, step_of_epoch * trainer.args.gradient_accumulation_steps

    def scheduler_at_position(num_training_steps: int, optimizer: Any = None) -> Any:
        scheduler = create_scheduler(num_training_steps, optimizer)
        assert isinstance(scheduler, LambdaLR)
        move_schedule(scheduler, trainer.state.global_step - position.num_skipped)
        return scheduler

    def rest_of_epoch(*, train_dataloader: Any, epoch: int, resume_from_checkpoint: Any, **others: Any) -> None:
        train_dataloader.set_epoch(epoch)
        run_epoch(train_dataloader=train_dataloader, epoch=epoch, resume_from_checkpoint=position, **others)

    methods = {
        "_init_training_state": state_at_position,
        "_run_epoch": rest_of_epoch,
        "create_scheduler": scheduler_at_position,
        "_load_rng_state": lambda _: restore_random(),
    }
    for name, method in methods.items():
        setattr(trainer, name, method)
    try:
        restore_random()
        yield
    finally:
        for name in methods:
            delattr(trainer, name)


def move_schedule(scheduler: LambdaLR, num_steps: int) -> None:
    """Put a new schedule where `num_steps` steps would have brought it."""
    scheduler.load_state_dict(scheduler.state_dict() | {"last_epoch": num_steps, "_step_count": num_steps + 1})
    rates = [base * rate_of(num_steps) for base, rate_of in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


def steps_between_questions(device: torch.device) -> int:
    """Say how often the processes ask each other for a signal: at each step, GPUs would wait for each other."""
    return 1 if device.type == "cpu" else 10


class StoppedError(Exception):
    """A signal asks the run to end; every process raises it at the same place."""


class StopRequest(TrainerCallback):
    """Takes note of SIGTERM and SIGINT: the step is finished and saved, then train() returns; `signal` says which came.

    Before and after the days, a single process ends at once; several ones agree first. So does a second Ctrl-C. The
    `advice` says how a stopped run goes on.
    """

    def __init__(self, advice: str = RESUME) -> None:
        self.signal: int | None = None
        self._advice = advice
        self._noted_at, self._is_running = 0.0, False

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Listen for the time of a block, where signals can be listened to."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        earlier = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let signals wait for the end of a step for the time of a block; it asks for them by `agreed`."""
        self._is_running = True
        yield
        self._is_running = False

    def _note(self, number: int, _: FrameType | None) -> None:
        is_again = self.signal is not None and time.monotonic() - self._noted_at > REPEATED_WITHIN_SECONDS
        if self.signal is None:
            # An exception alone may get lost: libraries call Python in places that cannot raise.
            self.signal, self._noted_at = number, time.monotonic()
        if distributed.world_size() == 1 and (is_again or not self._is_running):
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def agreed(self) -> bool:
        """Say whether any process is to stop; all processes ask together, and all then know the signal."""
        if distributed.world_size() > 1:
            numbers = torch.zeros(distributed.world_size(), dtype=torch.long)
            numbers[distributed.rank()] = self.signal or 0
            self.signal = int(distributed.sum_over_ranks(numbers).max()) or None
        return self.signal is not None

    def require_none(self) -> None:
        """Raise StoppedError in all processes if any of them is to stop."""
        if self.agreed():
            raise StoppedError

    def end(self, when: str, *, can_go_on: bool = True) -> NoReturn:
        """End the program as the signal asks, with one line of explanation."""
        assert self.signal is not None
        advice = f"; {self._advice}" if can_go_on else ""
        log.warning("stopped by %s %s%s", signal.Signals(self.signal).name, when, advice)
        raise SystemExit(128 + self.signal)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        if state.global_step % steps_between_questions(args.device) == 0 and self.agreed():
            control.should_save = control.should_training_stop = True


class StoppableReader:
    """Gives the batches of a reader to an evaluation; StoppedError in all processes when a signal has come.

    Every process asks as often as the one with most batches has some, whether or not it has as many.
    """

    def __init__(self, reader: Reader, stop: StopRequest, device: torch.device):
        self.reader, self.stop = reader, stop
        self.steps_between_questions = steps_between_questions(device)

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def num_rows(self) -> int:
        return self.reader.num_rows

    @property
    def num_steps(self) -> int:
        return self.reader.num_steps

    def batches(self, epoch: int) -> Iterator[Batch]:
        batches = self.reader.batches(epoch)
        for step in range(self.num_steps):
            if step % self.steps_between_questions == 0:
                self.stop.require_none()
            batch = next(batches, None)
            if batch is not None:
                yield batch
