"""A study in one journal file: several processes may work on it, and what a killed one began is begun anew."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import WilcoxonPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from transformers4recsys.errors import DivergedError, InputError
from transformers4recsys.terminal import counted
from transformers4recsys.tuning.space import Space

log = logging.getLogger(__name__)

JOURNAL, NAME = "journal.log", "tune"
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
# Trials that fail one after the other before the fault is taken to lie elsewhere than in what they drew.
MOST_FAILURES = 5


class Pruned(Exception):
    """A trial that is not worth its remaining days."""


# Trains with some values, and tells each day's metric to the function it is given.
Objective = Callable[[Mapping[str, Any], Callable[[float], None], int], None]


class Search:
    """Trials of one study, each of which trains day by day; a higher metric is better."""

    def __init__(self, folder: Path, space: Space, *, days: int, seed: int, p_prune: float):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        self._space, self._days = space, days
        # A process that joins must not draw what another one draws.
        seed += os.getpid() if (folder / JOURNAL).exists() else 0
        with warnings.catch_warnings():
            # It may change in a later major version, which is not allowed here.
            warnings.simplefilter("ignore", ExperimentalWarning)
            pruner = WilcoxonPruner(p_threshold=p_prune, n_startup_steps=2)
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            sampler=TPESampler(seed=seed, multivariate=True),
            pruner=pruner,
        )

    def begin(self, given: Mapping[str, Any], fingerprint: str) -> None:
        """Begin with the given settings, or go on; InputError if the study was begun with others."""
        begun_with = self.study.user_attrs.get("settings")
        if begun_with is None:
            self.study.set_user_attr("settings", fingerprint)
            within = {name: given[name] for name, values in self._space.items() if given.get(name) in values}
            self.study.enqueue_trial(within)
        elif begun_with != fingerprint:
            raise InputError("this study was begun with other settings, days, metric or space; give another `output`")
        self._begin_anew_what_was_killed()

    def run(self, objective: Objective, num_trials: int) -> None:
        """Work until the study has so many trials, those of other processes among them."""
        failures = 0
        while sum(trial.state in DONE or trial.state == TrialState.RUNNING for trial in self.trials) < num_trials:
            failures = 0 if self._run_trial(objective) else failures + 1
            if failures == MOST_FAILURES:
                raise InputError(f"{failures} trials failed one after the other; see what they said above")

    @property
    def best(self) -> FrozenTrial:
        """The best trial that ran all its days; InputError where none has."""
        if not any(trial.state == TrialState.COMPLETE for trial in self.trials):
            raise InputError("no trial has run all its days yet; give more `trials`")
        return self.study.best_trial

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    @property
    def is_running(self) -> bool:
        """Whether another process is working on a trial."""
        return any(trial.state == TrialState.RUNNING for trial in self.trials)

    def _run_trial(self, objective: Objective) -> bool:
        """Run one trial; give whether it came to an end that says something of its settings."""
        trial = self.study.ask()
        trial.set_user_attr("process", _this_process())
        values = {name: dimension.suggest(trial, name) for name, dimension in self._space.items()}
        metrics: list[float] = []

        def on_day(metric: float) -> None:
            trial.report(metric, step=len(metrics))
            metrics.append(metric)
            if len(metrics) < self._days and trial.should_prune():
                raise Pruned

        state, note = TrialState.COMPLETE, ""
        try:
            objective(values, on_day, trial.number)
        except Pruned:
            state, note = TrialState.PRUNED, f"given up after {counted(len(metrics), 'day')}"
        except (InputError, DivergedError) as error:
            if not any(each.state in DONE for each in self.trials):
                # Nothing has worked yet, the given settings among it: the fault lies there.
                self.study.enqueue_trial(trial.params)
                self.study.tell(trial, state=TrialState.FAIL)
                raise
            state, note = TrialState.FAIL, str(error)
        mean = sum(metrics) / len(metrics) if metrics else None
        for name, told in {"days": len(metrics), "mean": mean, "note": note, "settings": values}.items():
            trial.set_user_attr(name, told)
        self.study.tell(trial, mean if state == TrialState.COMPLETE else None, state=state)
        told = [f"{mean:.4f}"] if mean is not None else []
        log.info("trial %d: %s", trial.number, "; ".join([*told, *([note] if note else [])]))
        return state != TrialState.FAIL

    def _begin_anew_what_was_killed(self) -> None:
        for trial in self.trials:
            process = trial.user_attrs.get("process")
            if trial.state == TrialState.RUNNING and process and _is_gone(process):
                self.study.tell(trial.number, state=TrialState.FAIL)
                self.study.enqueue_trial(trial.params)
                log.info("trial %d was killed; it is begun anew", trial.number)


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _is_gone(process: Mapping[str, Any]) -> bool:
    """Say whether a process of this machine has ended; of another machine's nothing is known."""
    if process["host"] != socket.gethostname():
        return False
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return process["pid"] == os.getpid()
