"""Which files belong to which day, and which of them are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pyarrow import fs

from transformers4recsys.data.parquet.files import folder_entries, inside, parquet_parts
from transformers4recsys.day_format import TIME_UNITS, TRAIN, VALID, TimeUnit
from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, required, setting
from transformers4recsys.terminal import counted

DayAndSplit = tuple[datetime, str]


@dataclass(frozen=True)
class DaySettings:
    """Days: where the day files are, and which of them are used"""

    data_path: str | None = setting(
        None, "folder or URI of the day files session_start_date=YYYY-MM-DD-train.parquet ...", if_changed="ignore"
    )
    start_date: str | None = setting(None, "first day, YYYY-MM-DD (-HH with --time_unit hour)", if_changed="ignore")
    end_date: str | None = setting(None, "last day, inclusive", if_changed="ignore")
    time_unit: str = setting("day", "what one file holds", choices=lambda: TIME_UNITS, if_changed="refuse")
    missing_days: str = setting(
        "error",
        "a day without its files: stop before training, or go on without it",
        choices=("error", "skip"),
        if_changed="ignore",
    )

    def __post_init__(self) -> None:
        check(self)

    def files(self, eval_split: str, *, trains_on_last: bool = False) -> DayFiles:
        """Find the files of all days; InputError where a setting or a file is missing."""
        required(self, "data_path", "start_date", "end_date")
        assert self.data_path and self.start_date and self.end_date
        return day_files(
            self.data_path,
            self.start_date,
            self.end_date,
            time_unit=self.time_unit,
            eval_split=eval_split,
            skip_missing=self.missing_days == "skip",
            trains_on_last=trains_on_last,
        )


@dataclass(frozen=True)
class DayFiles:
    """The parquet files of a run: days that can be used, days left out, and the files of each day and split."""

    present: tuple[datetime, ...]
    missing: tuple[datetime, ...]
    unit: TimeUnit
    eval_split: str
    parts: Mapping[DayAndSplit, tuple[str, ...]]
    trains_on_last: bool = False

    def files(self, day: datetime, split: str) -> list[str]:
        """The file of a day's train, valid or test split, or its parts where it is a folder."""
        return list(self.parts[day, split])

    def all_files(self) -> list[str]:
        """Every file that the run reads, day by day."""
        return [file for needed in self._needed() for file in self.files(*needed)]

    def with_split(self, other: DayFiles) -> tuple[DayFiles, list[str]]:
        """Add the files of another split, on the days that have both; give also every file of either."""
        present = tuple(day for day in self.present if day in other.present)
        files = list(dict.fromkeys([*self.all_files(), *other.all_files()]))
        return replace(self, present=present, parts={**other.parts, **self.parts}), files

    def train_files(self, day: datetime, window: int) -> list[str]:
        """The train files of a day and of the `window` - 1 days before it."""
        return [file for each in self.window(day, window) for file in self.files(each, TRAIN)]

    def window(self, day: datetime, size: int) -> tuple[datetime, ...]:
        """Give a day and the `size` - 1 days before it; days without files do not count."""
        last = self.present.index(day) + 1
        return self.present[max(last - size, 0) : last]

    def read_together(self, window: int) -> list[list[str]]:
        """The files that the run reads at once, each time: of a day to train on, of a day to evaluate."""
        return [
            self.train_files(day, window) if split == TRAIN else self.files(day, split) for day, split in self._needed()
        ]

    def _needed(self) -> list[DayAndSplit]:
        return needed_files(self.present, self.eval_split, trains_on_last=self.trains_on_last)


def day_files(
    data_path: str,
    start_date: str,
    end_date: str,
    *,
    time_unit: str = "day",
    eval_split: str = VALID,
    skip_missing: bool = False,
    trains_on_last: bool = False,
) -> DayFiles:
    """Find the files of all days (or hours: what is said of days here holds for either) from start to end, inclusive.

    Raise InputError that lists every missing file; with `skip_missing`, leave days without their files out.
    """
    unit = TIME_UNITS[time_unit]
    days = days_between(start_date, end_date, unit)
    if not data_path:
        raise InputError("`data_path` is missing: give the folder that holds the day files")
    entries = folder_entries(data_path)
    parts: dict[DayAndSplit, tuple[str, ...]] = {}
    for needed in [(day, split) for day in days for split in (TRAIN, eval_split)]:
        name = unit.file_name(*needed)
        if name in entries:
            path = inside(data_path, name)
            is_folder = entries[name].type == fs.FileType.Directory
            parts[needed] = parquet_parts(path) if is_folder else (path,)
    parts = {needed: files for needed, files in parts.items() if files}

    needed_of_all = needed_files(days, eval_split, trains_on_last=trains_on_last)
    absent = [inside(data_path, unit.file_name(*each)) for each in needed_of_all if each not in parts]
    present = usable_days(days, parts, eval_split, trains_on_last=trains_on_last)
    if absent and (not skip_missing or len(present) < 2):
        raise InputError(_missing_message(data_path, absent, list(entries), time_unit, skip_missing=skip_missing))
    missing = tuple(day for day in days if day not in present)
    return DayFiles(tuple(present), missing, unit, eval_split, parts, trains_on_last)


def days_between(start_date: str, end_date: str, unit: TimeUnit) -> list[datetime]:
    """List the days from start to end, both inclusive: at least two, to train on one and evaluate on the next."""
    start, end = unit.parse(start_date, "`start_date`"), unit.parse(end_date, "`end_date`")
    if start > end:
        raise InputError(f"`start_date` {start_date} is after `end_date` {end_date}; swap them")
    if start == end:
        raise InputError(
            f"`start_date` and `end_date` are both {start_date}: a run trains on one file and evaluates on the "
            "next; give at least two dates"
        )
    return [start + number * unit.step for number in range((end - start) // unit.step + 1)]


def needed_files(days: Sequence[datetime], eval_split: str, *, trains_on_last: bool = False) -> list[DayAndSplit]:
    """List what is read, in order: the first day is never evaluated, the last one trained on only where asked."""
    pairs = [
        pair for day, next_day in zip(days, days[1:], strict=False) for pair in ((day, TRAIN), (next_day, eval_split))
    ]
    return [*pairs, (days[-1], TRAIN)] if trains_on_last and days else pairs


def usable_days(
    days: Sequence[datetime],
    found: Mapping[DayAndSplit, object],
    eval_split: str,
    *,
    trains_on_last: bool = False,
) -> list[datetime]:
    """Keep the days that have what a run over them reads: train files but on the last, eval files but on the first."""
    trainable = [day for day in days if (day, TRAIN) in found]
    evaluable = [day for day in days if (day, eval_split) in found]
    if trains_on_last:
        evaluable = [day for day in evaluable if day in trainable]
    if not trainable or not evaluable:
        return []
    first, last = trainable[0], evaluable[-1]
    return [
        day
        for day in days
        if first <= day <= last and (day == first or day in evaluable) and (day == last or day in trainable)
    ]


def _missing_message(data_path: str, absent: list[str], names: list[str], time_unit: str, *, skip_missing: bool) -> str:
    held = {name: unit.names_in(names) for name, unit in TIME_UNITS.items()}
    there = [f"has files of {counted(len(of), unit)}, {of[0]} to {of[-1]}" for unit, of in held.items() if of]
    others = [f"Those need `time_unit` {unit}." for unit, of in held.items() if of and not held[time_unit]]
    remedy = (
        "With `missing_days` skip, fewer than two days are left to use: add files, or choose other dates."
        if skip_missing
        else "Add them, choose other dates, or set `missing_days` to skip to go on without these days."
    )
    files = counted(len(absent), f"missing {time_unit} file")
    return (
        "\n  ".join([f"{files} (a folder without parquet parts counts as missing):", *absent])
        + "\n"
        + " ".join([f"{data_path} {' and '.join(there) or f'has no {time_unit} files at all'}.", *others, remedy])
    )
