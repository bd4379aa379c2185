"""DLLogger lines in log.json: the arguments, each day's numbers, and their mean at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from transformers4recsys.outputs import Report
from transformers4recsys.reporting.days import average_over_days
from transformers4recsys.reporting.result_files import read_days
from transformers4recsys.reporting.sink import Sink

PARAMETER = "PARAMETER"


class DLLoggerJson(Sink):
    """Appends one line a step to `log.json`, each of them on the disk at once."""

    def __init__(self, output_dir: Path):
        self._path = output_dir / "log.json"
        self._days = read_days(output_dir)
        self._started = datetime.now(UTC)

    def start(self, settings: Mapping[str, object]) -> None:
        _remove_torn_line(self._path)
        self._append(PARAMETER, settings)

    def numbers(self, report: Report) -> None:
        self._days.record(report.day, report.split, report.numbers)
        self._append([report.day], report.numbers)

    def close(self) -> None:
        self._append([], average_over_days(self._days.of_all_splits().values()))

    def _append(self, step: str | list[str], data: Mapping[str, object]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line(step, data, now=datetime.now(UTC), started=self._started))


def line(step: str | Sequence[str], data: Mapping[str, object], *, now: datetime, started: datetime) -> str:
    """Write one DLLogger line; times are UTC in hundredths of a second, what JSON has no word for (NaN) is null."""
    hundredths = f"{now.microsecond // 10_000:02d}"
    entry = {
        "timestamp": f"{int(now.timestamp())}.{hundredths}",
        "datetime": f"{now:%Y-%m-%d %H:%M:%S}.{hundredths}+00:00",
        "elapsedtime": str(round((now - started).total_seconds(), 2)),
        "type": "LOG",
        "step": step,
        "data": _as_json(data),
    }
    return f"DLLL {json.dumps(entry, allow_nan=False)}\n"


def _remove_torn_line(path: Path) -> None:
    """Cut off what a killed run has left of a line."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = file.read().rpartition(b"\n")
        file.truncate(len(whole[0]) + len(whole[1]))


def _as_json(data: Mapping[str, object]) -> object:
    # NaN and Infinity are what the parser calls constants.
    return json.loads(json.dumps(dict(data), default=str), parse_constant=lambda _: None)
