"""The numbers of a comparison as JSON, and as two CSV files: values by run and day, and differences."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers4recsys.comparison.contents import Comparison, Difference

MEAN = "mean"


def write_json(comparison: Comparison, path: Path) -> None:
    """Write all of a comparison."""
    path.write_text(json.dumps(comparison.as_json(), indent=2, default=str) + "\n", encoding="utf-8")


def write_values(comparison: Comparison, path: Path) -> None:
    """Write a row a run, metric and day, and one with day `mean`."""
    rows = [
        (run, metric, day, value)
        for run, by_metric in comparison.curves.items()
        for metric, values in by_metric.items()
        for day, value in [
            *zip(comparison.days, values, strict=True),
            (MEAN, comparison.means[run][metric]),
        ]
    ]
    _write(path, ("run", "metric", "day", "value"), rows)


def write_differences(comparison: Comparison, path: Path) -> None:
    """Write a row a run and metric; an interval takes two columns."""
    intervals = ("over_days", "over_sessions")
    plain = [field.name for field in fields(Difference) if field.name not in intervals]
    heads = [*plain, *(f"{name}_{end}" for name in intervals for end in ("low", "high"))]
    rows = [
        [
            *(getattr(each, name) for name in plain),
            *(getattr(getattr(each, name), end, None) for name in intervals for end in ("low", "high")),
        ]
        for each in comparison.differences
    ]
    _write(path, heads, rows)


def _write(path: Path, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(rows)
