"""Result files for people and spreadsheets: a block a day, a row a day, the mean over days.

They are rewritten whole, and at once, after each report: a run that is killed loses nothing, one that goes on keeps
the earlier days.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from transformers4recsys.errors import InputError
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.days import DayBook, Numbers, average_over_days
from transformers4recsys.reporting.sink import Sink

SPLITS = ("train", "eval")
DAYS_CSV = "eval_train_results_dates.csv"
AVERAGES = "eval_results_avg_over_days.txt"
# All that a run adds to, day by day.
RESULT_FILES = (*(f"{split}_results_dates.txt" for split in SPLITS), DAYS_CSV, AVERAGES, "log.json")
# Settings under which a mean is not one over all targets of all days: said beside it.
REMARKS = {
    "days_skipped": [],
    "compute_metrics_each_n_steps": 1,
    "exclude_seen_in_evaluation": False,
    "early_stopping_patience": 0,
}
TITLE = re.compile(r"\*{5} \w+ results \((?P<day>[\d-]+)\) \*{5}")


class ResultFiles(Sink):
    """Writes `{train,eval}_results_dates.txt`, `eval_train_results_dates.csv`, `eval_results_avg_over_days.txt`."""

    def __init__(self, output_dir: Path):
        self._folder = output_dir
        self._days = read_days(output_dir)
        self._remarks: dict[str, object] = {}

    def start(self, settings: Mapping[str, object]) -> None:
        self._remarks = {name: settings[name] for name, usual in REMARKS.items() if settings.get(name, usual) != usual}

    def numbers(self, report: Report) -> None:
        self._days.record(report.day, report.split, report.numbers)
        days_of_split = self._days.of_split(report.split)
        blocks = [_block(f"{report.split} results ({day})", numbers) for day, numbers in days_of_split.items()]
        all_days = self._days.of_all_splits()
        averages = average_over_days(all_days.values())
        self._folder.mkdir(parents=True, exist_ok=True)
        _replace(self._folder / _dates_file(report.split), "\n".join(blocks))
        _replace(self._folder / DAYS_CSV, _csv(all_days))
        _replace(self._folder / AVERAGES, _block("Eval results (avg over dates)", averages | self._remarks))


def read_days(output_dir: Path) -> DayBook:
    """Read the days that an earlier run recorded in this folder, if any."""
    days = DayBook()
    for split in SPLITS:
        path = output_dir / _dates_file(split)
        if path.exists():
            for day, numbers in _read_blocks(path).items():
                days.record(day, split, numbers)
    return days


def _dates_file(split: str) -> str:
    return f"{split}_results_dates.txt"


def _block(title: str, numbers: Mapping[str, object]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in sorted(numbers.items())]
    return "\n".join([f"***** {title} *****", *lines, ""])


def _read_blocks(path: Path) -> Mapping[str, Numbers]:
    days: dict[str, dict[str, float | None]] = {}
    numbers: dict[str, float | None] = {}
    for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if title := TITLE.fullmatch(line):
            numbers = days[title["day"]] = {}
        elif line:
            name, _, value = line.partition(" = ")
            try:
                numbers[name] = json.loads(value)
            except ValueError as error:
                raise InputError(
                    f"{path}, line {row}: expected `name = number` of an earlier run, found {line!r}; "
                    "correct the line, or start anew in another `output_dir`"
                ) from error
    return days


def _csv(days: dict[str, Numbers]) -> str:
    names = sorted({name for numbers in days.values() for name in numbers})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", *names])
    for day, numbers in days.items():
        writer.writerow([day, *(numbers.get(name) for name in names)])
    return text.getvalue()


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
