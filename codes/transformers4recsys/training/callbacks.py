"""What listens to the Trainer: one continuous log over all days, a progress bar, validation, a profile."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from transformers4recsys import distributed
from transformers4recsys.settings import setting
from transformers4recsys.terminal import progress_bar


class ContinuousLog(TrainerCallback):
    """Hands logs on to a library callback as if all days were one training run.

    The Trainer counts steps from 0 each day and closes its loggers after each; here steps go on over
    the days, and the logger is opened once and closed by `close`.
    """

    def __init__(self, callback: TrainerCallback, *, first_step: int = 0):
        self.callback, self.first_step, self.day_steps = callback, first_step, 0
        self.is_open = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        self.first_step, self.day_steps = self.first_step + self.day_steps, 0
        if not self.is_open:
            self.callback.on_train_begin(args, state, control, **others)
            self.is_open = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        self.day_steps = state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        moved_on = dataclasses.replace(state, global_step=self.first_step + state.global_step)
        self.callback.on_log(args, moved_on, control, **others)

    def close(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        if self.is_open:
            self.callback.on_train_end(args, state, control)


class TrainingProgress(TrainerCallback):
    """A progress bar of the day's training steps."""

    def __init__(self) -> None:
        self.description = "train"
        self.bar = ExitStack()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        self.advance = self.bar.enter_context(progress_bar(self.description, state.max_steps))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        self.advance()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        self.bar.close()


class ValidateEvery(TrainerCallback):
    """Asks for an evaluation after the last step of every n-th epoch of a day, before that step is saved.

    Where the best weights are kept, the last step of a day has one too: weights that nobody validated cannot be best.
    """

    def __init__(self, num_epochs: int, *, keeps_best: bool = False):
        self.num_epochs, self.keeps_best = num_epochs, keeps_best

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        epoch = state.epoch or 0
        is_due = epoch == round(epoch) and round(epoch) % self.num_epochs == 0
        control.should_evaluate = is_due or (self.keeps_best and state.global_step == state.max_steps)


@dataclass(frozen=True)
class ProfileSettings:
    """Profile: a trace of some steps"""

    pyprof: bool = setting(False, "write a torch.profiler trace of the steps below")
    pyprof_start_step: int = setting(0, "first profiled step of the first day")
    pyprof_stop_step: int = setting(0, "last profiled step of the first day")


class Profile(TrainerCallback):
    """Writes a torch.profiler trace of some steps of the first day into `folder`."""

    def __init__(self, folder: Path, settings: ProfileSettings):
        self.folder, self.settings = folder, settings
        self.profiler: torch.profiler.profile | None = None

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if state.global_step == self.settings.pyprof_start_step and not self.folder.exists():
            self.profiler = torch.profiler.profile(record_shapes=True)
            self.profiler.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        if self.profiler and state.global_step > self.settings.pyprof_stop_step:
            self._write()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if self.profiler:
            self._write()

    def _write(self) -> None:
        assert self.profiler is not None
        self.profiler.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.profiler.export_chrome_trace(str(self.folder / "trace.json"))
        self.profiler = None


def profiles(profile: ProfileSettings, output_dir: Path) -> list[TrainerCallback]:
    """Make what writes a profile, if the settings ask for one; the main process alone does."""
    return [Profile(output_dir / "profile", profile)] if profile.pyprof and distributed.is_main() else []
