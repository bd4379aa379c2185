"""The numbers of all days of a run, and their mean over days."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set

Numbers = Mapping[str, float | None]
# Numbers over some of the labels: a day may have none of these, and is a whole day all the same.
OF_SOME_LABELS = ("eval_seen_", "eval_cold_")


class DayBook:
    """Numbers by day name and split; a day that is done again replaces itself."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, Numbers]] = {}

    def record(self, day: str, split: str, numbers: Numbers) -> None:
        self._days.setdefault(day, {})[split] = dict(numbers)

    def of_split(self, split: str) -> dict[str, Numbers]:
        """Numbers of one split by day, the earliest first."""
        return {day: splits[split] for day, splits in sorted(self._days.items()) if split in splits}

    def of_all_splits(self) -> dict[str, Numbers]:
        """Numbers of all splits together by day, the earliest first."""
        return {
            day: {name: value for numbers in splits.values() for name, value in numbers.items()}
            for day, splits in sorted(self._days.items())
        }


def average_over_days(days: Iterable[Numbers]) -> dict[str, float | None]:
    """Mean of each number over the days that have it, None where none has; `num_days` are those that count.

    They have all eval numbers that any day has: a baseline that is the model has no loss.
    """
    days = list(days)
    found = {name for numbers in days for name, value in numbers.items() if value is not None}
    means: dict[str, float | None] = {"num_days": sum(_counts(numbers, found) for numbers in days)}
    for name in sorted({name for numbers in days for name in numbers}):
        values = [value for numbers in days if (value := numbers.get(name)) is not None]
        means[name] = math.fsum(values) / len(values) if values else None
    return means


def _counts(numbers: Numbers, found: Set[str]) -> bool:
    values = [
        value
        for name, value in numbers.items()
        if name in found and name.startswith("eval_") and not name.startswith(OF_SOME_LABELS)
    ]
    return bool(values) and None not in values
