"""Searches settings of train: each trial trains on the first half of the days, the second half says what was found."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.table import Table

from transformers4recsys.commands.train import TrainSettings, train
from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.days import average_over_days
from transformers4recsys.reporting.reporter import SINKS
from transformers4recsys.reporting.result_files import read_days
from transformers4recsys.reporting.sink import Sink
from transformers4recsys.settings import as_values, check, check_names, from_values, names_of, setting
from transformers4recsys.settings_files import FILE_ENDINGS, values_of_file
from transformers4recsys.terminal import counted, show_result
from transformers4recsys.training.inside_day import SAME_AGAIN
from transformers4recsys.tuning.space import Space, default_space, space_of

log = logging.getLogger(__name__)
TRIALS, GIVEN, BEST = "trials", "given", "best"


@dataclass(frozen=True)
class TuneSettings:
    """Tune: a search over settings of train, in one folder that several processes may work on"""

    leading: ClassVar[str] = "settings"

    settings: str | None = setting(None, "YAML or JSON file that train takes; the first trial is what it says")
    trials: int = setting(100, "trials in all, those of other processes and earlier calls among them", at_least=1)
    output: str = setting("tuning", "folder of the study: stop at any time, and go on with the same command")
    space: str | None = setting(None, "YAML file of what may vary; without one, the space of the RecSys'21 paper")
    metric: str = setting("ndcg@20", "metric to raise, with its cut-off")
    p_prune: float = setting(0.1, "a trial ends early where Wilcoxon's test says so at this level", above=0, below=1)
    seed: int = setting(0, "of the search", at_least=0)

    def __post_init__(self) -> None:
        check(self)
        if not self.settings or not self.settings.endswith(FILE_ENDINGS):
            raise InputError("tune what? Give the YAML or JSON file of a training run: tune train.yaml")


SETTINGS = TuneSettings


@dataclass(frozen=True)
class Halves:
    """The settings under which trials run, and those under which the result is reported, on `reported` days alone."""

    choosing: Mapping[str, Any]
    reporting: Mapping[str, Any]
    chosen: int
    reported: tuple[str, ...]


class DayWatch(Sink):
    """Tells each day's metric to a function."""

    def __init__(self, metric: str, tell: Callable[[float], None]):
        self._metric, self._tell = metric, tell

    def numbers(self, report: Report) -> None:
        if report.split != "eval":
            return
        name = f"eval_{self._metric}"
        if name not in report.numbers:
            raise InputError(f"`metric` {self._metric}: a day has no such number; there are {_metrics(report.numbers)}")
        # A day without targets says nothing of the settings.
        if (value := report.numbers[name]) is not None:
            self._tell(value)


def run(values: Mapping[str, Any]) -> None:
    """Search, then train the given and the best settings over all days and report the second half."""
    settings = from_values(TuneSettings, values)
    search_class, write = _search_library()
    path = Path(str(settings.settings)).expanduser()
    given = values_of_file(path)
    check_names(TrainSettings, given, where=str(path))
    of_train = from_values(TrainSettings, given)
    halves = _halves(given, of_train)
    space = _space(settings, of_train.model)
    output = Path(settings.output).expanduser()
    search = search_class(output, space, days=halves.chosen, seed=settings.seed, p_prune=settings.p_prune)
    defaults = {name: value for name, value in as_values(of_train).items() if value is not None}
    search.begin({**defaults, **given}, _fingerprint(given, halves, settings.metric, space))
    log.info(
        "%s on %s, reported on the %s after; stop at any time and go on with the same command",
        counted(settings.trials, "trial"),
        counted(halves.chosen, "day"),
        counted(len(halves.reported), "day"),
    )

    loud = WarningsOnce()

    def objective(drawn: Mapping[str, Any], on_day: Callable[[float], None], number: int) -> None:
        folder = output / TRIALS / str(number)
        try:
            with _quiet(loud):
                of_trial = {**given, **halves.choosing, **drawn, "output_dir": str(folder)}
                train(
                    _trial_settings(of_trial),
                    {"watch": lambda _: DayWatch(settings.metric, on_day)},
                    after_a_stop=SAME_AGAIN,
                )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    search.run(objective, settings.trials)
    if search.is_running:
        log.info("another process is at work on this study; the last one to end reports")
        return
    best = {**given, **search.best.user_attrs["settings"]}
    remark = f"best of {counted(len(search.trials), 'trial')} by {settings.metric} on {halves.choosing['end_date']}"
    write.write_settings(best, output / "best.yaml", remark=remark.replace(" on ", " up to "))
    write.write_trials(search.trials, output / "trials.csv")
    write.write_page(search.study, output / "tuning.html", metric=settings.metric, days=halves.chosen)
    for name, of_run in ((GIVEN, given), (BEST, best)):
        log.info("training %s over all days", output / name)
        with _quiet(loud):
            _report_run(output / name, {**of_run, **halves.reporting})
    shutil.rmtree(output / TRIALS, ignore_errors=True)
    show_result(_table(output, settings.metric, halves, search.study))
    log.info("%s has best.yaml, trials.csv and tuning.html", output)
    log.info("compare: transformers4recsys report %s %s", output / GIVEN, output / BEST)


def _search_library() -> tuple[Any, Any]:
    try:
        from transformers4recsys.tuning import findings, study
    except ImportError as error:
        raise InputError(f"tune needs {error.name}: pip install 'transformers4recsys[tune]'") from error
    return study.Search, findings


def _halves(given: Mapping[str, Any], of_train: TrainSettings) -> Halves:
    """Choose on the first half of the evaluated days; of one day alone, choose on valid and report on test."""
    days = of_train.data.days.files(of_train.training.protocol.eval_split)
    names = [days.unit.name(day) for day in days.present]
    evaluated = names[1:]
    if len(evaluated) == 1:
        return Halves(
            {"end_date": names[-1], "eval_on_test_set": False}, {"eval_on_test_set": True}, 1, tuple(evaluated)
        )
    middle = -(-len(evaluated) // 2)
    return Halves({"end_date": evaluated[middle - 1]}, {}, middle, tuple(evaluated[middle:]))


def _space(settings: TuneSettings, model: ModelSettings) -> Space:
    if settings.space is None:
        return default_space(model)
    path = Path(settings.space).expanduser()
    entries = values_of_file(path)
    return space_of(entries, names_of(TrainSettings), path)


def _trial_settings(values: Mapping[str, Any]) -> TrainSettings:
    """Leave out of a trial what nobody will read."""
    quiet = {"overwrite_output_dir": True, "report_to": "none", "log_predictions": False, "save_steps": 0}
    return from_values(TrainSettings, {**values, **quiet, "resume_from_checkpoint": None})


def _report_run(folder: Path, values: Mapping[str, Any]) -> None:
    settings = {**values, "output_dir": str(folder), "overwrite_output_dir": True, "log_predictions": True}
    sinks = {name: make for name, make in SINKS.items() if name != "result_table"}
    train(from_values(TrainSettings, {**settings, "resume_from_checkpoint": None}), sinks, after_a_stop=SAME_AGAIN)


def _table(output: Path, metric: str, halves: Halves, study: Any) -> Table:
    table = Table("settings", f"{metric}, choosing", f"{metric}, reporting", box=None)
    first = next((trial for trial in study.trials if trial.number == 0), None)
    choosing = {GIVEN: first and first.value, BEST: study.best_value}
    for name in (GIVEN, BEST):
        days = read_days(output / name).of_split("eval")
        mean = average_over_days([days[day] for day in halves.reported]).get(f"eval_{metric}")
        table.add_row(name, *(f"{value:.4f}" if value is not None else "" for value in (choosing[name], mean)))
    return table


def _fingerprint(given: Mapping[str, Any], halves: Halves, metric: str, space: Space) -> str:
    return json.dumps([dict(given), dict(halves.choosing), metric, repr(space)], sort_keys=True, default=str)


def _metrics(numbers: Mapping[str, Any]) -> str:
    return ", ".join(name.removeprefix("eval_") for name in numbers if name.endswith("@20"))


class WarningsOnce(logging.Filter):
    """Lets each warning through once, as all trials say the same."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        is_new = record.getMessage() not in self._said
        self._said.add(record.getMessage())
        return is_new and record.levelno >= logging.WARNING


@contextmanager
def _quiet(loud: WarningsOnce) -> Iterator[None]:
    """Leave out what a run says of each of its days."""
    package = logging.getLogger("transformers4recsys")
    for handler in package.handlers:
        handler.addFilter(loud)
    try:
        yield
    finally:
        # The run may have put another handler in place, with the same filters.
        for handler in package.handlers:
            handler.removeFilter(loud)
