"""Which files belong to which day, and which of them are missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyarrow import fs

from transformers4recsys.data.files import folder_entries, inside, parquet_parts
from transformers4recsys.errors import InputError

DAY_FORMAT, DAY_STEP = "%Y-%m-%d", timedelta(days=1)
FILE_NAME = re.compile(r"session_start_date=(\d{4}-\d{2}-\d{2})-(?:train|valid|test)\.parquet")

DayAndSplit = tuple[datetime, str]


@dataclass(frozen=True)
class DayFiles:
    """The parquet files of a run: days that can be used, days left out, and the files of each day and split."""

    present: tuple[datetime, ...]
    missing: tuple[datetime, ...]
    eval_split: str
    parts: Mapping[DayAndSplit, tuple[str, ...]]

    def files(self, day: datetime, split: str) -> list[str]:
        """The file of a day's train, valid or test split, or its parts where it is a folder."""
        return list(self.parts[day, split])

    def all_files(self) -> list[str]:
        """Every file that the run reads, day by day."""
        return [file for needed in needed_files(self.present, self.eval_split) for file in self.files(*needed)]


def day_files(
    data_path: str, start_date: str, end_date: str, *, eval_split: str = "valid", skip_missing: bool = False
) -> DayFiles:
    """Find the files of all days from start to end, both inclusive.

    Raise InputError that lists every missing file; with `skip_missing`, leave days without their files out.
    """
    days = days_between(start_date, end_date)
    if not data_path:
        raise InputError("--data_path is missing: give the folder that holds the day files")
    entries = folder_entries(data_path)
    parts = {}
    for needed in [(day, split) for day in days for split in ("train", eval_split)]:
        name = file_name(*needed)
        if name in entries:
            path = inside(data_path, name)
            is_folder = entries[name].type == fs.FileType.Directory
            parts[needed] = parquet_parts(path) if is_folder else (path,)
    parts = {needed: files for needed, files in parts.items() if files}

    absent = [inside(data_path, file_name(*each)) for each in needed_files(days, eval_split) if each not in parts]
    present = usable_days(days, parts, eval_split)
    if absent and (not skip_missing or len(present) < 2):
        raise InputError(_missing_message(data_path, absent, list(entries), skip_missing=skip_missing))
    return DayFiles(tuple(present), tuple(day for day in days if day not in present), eval_split, parts)


def days_between(start_date: str, end_date: str) -> list[datetime]:
    """List the days from start to end, both inclusive; there must be two to train on one and evaluate on the next."""
    start, end = _parsed(start_date, "--start_date"), _parsed(end_date, "--end_date")
    if start > end:
        raise InputError(f"--start_date {start_date} is after --end_date {end_date}; swap them")
    if start == end:
        raise InputError(
            f"--start_date and --end_date are both {start_date}: a run trains on one day and evaluates on the next; "
            "give at least two days"
        )
    return [start + number * DAY_STEP for number in range((end - start) // DAY_STEP + 1)]


def file_name(day: datetime, split: str) -> str:
    return f"session_start_date={day.strftime(DAY_FORMAT)}-{split}.parquet"


def needed_files(days: Sequence[datetime], eval_split: str) -> list[DayAndSplit]:
    """List what is read, in order: the first day is never evaluated, and the last one never trained on."""
    return [
        pair for day, next_day in zip(days, days[1:], strict=False) for pair in ((day, "train"), (next_day, eval_split))
    ]


def usable_days(days: Sequence[datetime], found: Mapping[DayAndSplit, object], eval_split: str) -> list[datetime]:
    """Keep the days that have what a run over them reads: train files but on the last, eval files but on the first."""
    trainable = [day for day in days if (day, "train") in found]
    evaluable = [day for day in days if (day, eval_split) in found]
    if not trainable or not evaluable:
        return []
    first, last = trainable[0], evaluable[-1]
    return [
        day
        for day in days
        if first <= day <= last and (day == first or day in evaluable) and (day == last or day in trainable)
    ]


def _parsed(text: str, flag: str) -> datetime:
    try:
        return datetime.strptime(str(text), DAY_FORMAT)
    except ValueError as error:
        raise InputError(f"{flag} {text!r} is no date; write YYYY-MM-DD, such as 2019-10-01") from error


def _missing_message(data_path: str, absent: list[str], names: list[str], *, skip_missing: bool) -> str:
    held = sorted({match[1] for match in map(FILE_NAME.fullmatch, names) if match})
    there = f"has files of {len(held)} days, {held[0]} to {held[-1]}" if held else "has no day files at all"
    way_out = (
        "With --missing_days skip, fewer than two days are left to use: add files, or choose other dates."
        if skip_missing
        else "Add them, choose other dates, or pass --missing_days skip to go on without these days."
    )
    return (
        "\n  ".join([f"{len(absent)} missing day file(s), folders without parquet parts included:", *absent])
        + f"\n{data_path} {there}. {way_out}"
    )
