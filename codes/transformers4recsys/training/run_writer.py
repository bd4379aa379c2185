"""Saves a run: each finished day to its folder, steps inside a day to checkpoints that hold just as much."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers4recsys import distributed
from transformers4recsys.baselines import BASELINES
from transformers4recsys.reporting.output_folder import CHECKPOINTS
from transformers4recsys.run_files import MANIFEST, Content, publish
from transformers4recsys.run_folder import PROGRESS, Progress, as_json
from transformers4recsys.training import checkpoint
from transformers4recsys.training.inside_day import Position
from transformers4recsys.training.trainer import RecSysTrainer

TRAINER_STATE = "trainer_state.json"
# Of each day's numbers these are kept in progress.json: the larger, the better.
MAIN_NUMBERS = ("eval_ndcg@20", "eval_recall@20")


class RunWriter:
    """Every process has one and calls it alike; the first one writes.

    `unchanging` are the contents that stay the same from day to day: settings, schema, vocabulary and so on.
    `log_history` is that of the days so far.
    """

    def __init__(
        self,
        folder: Path,
        unchanging: Mapping[str, Content],
        progress: Progress,
        *,
        log_history: list[dict[str, Any]] | None = None,
        num_checkpoints: int = 1,
    ):
        self.folder, self.unchanging, self.progress = folder, dict(unchanging), progress
        self.log_history = list(log_history or [])
        self.num_checkpoints = num_checkpoints
        self._last_saved: Position | None = None

    def save_day(
        self,
        trainer: RecSysTrainer,
        day: str,
        numbers: Mapping[str, float | None],
        *,
        awaits_evaluation: bool = False,
    ) -> None:
        """Put a finished day in the place of the one before; the `numbers` are those of the day after it."""
        num_steps = trainer.state.global_step
        days = [*self.progress.days, {"day": day, "num_steps": num_steps, **_main_of(numbers)}]
        contents = checkpoint.contents(trainer)
        self.log_history = self._whole_history(trainer, day)
        self.progress = Progress(day, self.progress.num_steps + num_steps, days, best_of(days), awaits_evaluation)
        if distributed.is_main():
            num_steps = self.progress.num_steps
            left_out = [checkpoint.of_baseline(name) for name in BASELINES if name not in trainer.beside]
            publish(self.folder, contents | self._rest(trainer, self.log_history, num_steps), removed=left_out)
            for older in inside_checkpoints(self.folder):
                _remove(older)
            shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)
        else:
            _send(contents)

    def save_evaluation(self, trainer: RecSysTrainer, numbers: Mapping[str, float | None]) -> None:
        """Add the numbers of the next day to the last finished one, which had none then; its model stays."""
        *before, last = self.progress.days
        days = [*before, last | _main_of(numbers)]
        self.log_history = self._whole_history(trainer, last["day"])
        self.progress = dataclasses.replace(self.progress, days=days, best=best_of(days), awaits_evaluation=False)
        if distributed.is_main():
            publish(self.folder, self._rest(trainer, self.log_history, self.progress.num_steps))

    def save_step(self, trainer: RecSysTrainer, day: str) -> None:
        """Save the state inside a day beside that of the last finished one, unless that step is saved."""
        position = Position.of(trainer, day)
        if position == self._last_saved:
            return
        self._last_saved = position
        contents = checkpoint.contents(trainer, position)
        if not distributed.is_main():
            _send(contents)
            return
        history = self._whole_history(trainer, day)
        name = f"{day.replace(':', '')}-step-{position.step:08d}"
        num_steps = self.progress.num_steps + position.step
        publish(self.folder / CHECKPOINTS / name, contents | self._rest(trainer, history, num_steps))
        for older in inside_checkpoints(self.folder)[: -self.num_checkpoints]:
            _remove(older)

    def has_saved(self, trainer: RecSysTrainer, day: str) -> bool:
        """Say whether the step where the trainer stands was saved."""
        return self._last_saved is not None and Position.of(trainer, day) == self._last_saved

    def _whole_history(self, trainer: RecSysTrainer, day: str) -> list[dict[str, Any]]:
        """Add what was logged on the day, with steps that go on over the days."""
        of_day = [
            entry | {"day": day, "step": self.progress.num_steps + entry["step"]} for entry in trainer.state.log_history
        ]
        return [*self.log_history, *of_day]

    def _rest(self, trainer: RecSysTrainer, history: list[dict[str, Any]], num_steps: int) -> dict[str, Content]:
        """Collect what is neither weights nor state of training; `num_steps` are those of the whole run."""
        best = self.progress.best.get(MAIN_NUMBERS[0], {})
        state = dataclasses.replace(
            trainer.state,
            global_step=num_steps,
            log_history=history,
            best_metric=best.get("value"),
            best_global_step=best.get("num_steps"),
        )
        text = json.dumps(dataclasses.asdict(state), indent=2, sort_keys=True)
        progress = as_json(dataclasses.asdict(self.progress))
        return self.unchanging | {PROGRESS: progress, TRAINER_STATE: f"{text}\n".encode()}


def _send(contents: Mapping[str, Content]) -> None:
    """Do in the other processes what the first one waits for while it writes."""
    for content in contents.values():
        assert not isinstance(content, bytes)
        content(Path())


def _main_of(numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: numbers[name] for name in MAIN_NUMBERS if name in numbers}


def best_of(days: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Say of each main number on which day it was best, and after how many steps of the run."""
    best: dict[str, dict[str, Any]] = {}
    num_steps = 0
    for day in days:
        num_steps += day["num_steps"]
        for name in MAIN_NUMBERS:
            value = day.get(name)
            if value is not None and (name not in best or value > best[name]["value"]):
                best[name] = {"value": value, "day": day["day"], "num_steps": num_steps}
    return best


def _remove(run: Path) -> None:
    """Remove a checkpoint, its manifest first: one that is half gone after a kill is no checkpoint any more."""
    (run / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(run, ignore_errors=True)


def inside_checkpoints(folder: Path) -> list[Path]:
    """List the whole checkpoints inside a day, the oldest first; those without a manifest were never finished."""
    return sorted(path.parent for path in (folder / CHECKPOINTS).glob(f"*/{MANIFEST}"))
