"""Names, splits, prefixes and time units of the day files, and of what lies beside them in the folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from transformers4recsys.errors import InputError

TRAIN, VALID, TEST = SPLITS = ("train", "valid", "test")
EVAL_SPLITS = (VALID, TEST)

# Columns of a user's history, and of negative items, are named after those of the session, with a prefix.
HISTORY_PREFIX = "bef_"
NEGATIVES_PREFIX = "_neg_"

MANIFEST_FILE = "preprocessing.json"
ITEMS_FILE = "items.parquet"
CATEGORY_PRICES_FILE = "category_prices.parquet"
FEATURES_FILE, ITEM_FEATURES_FILE = "features.yaml", "features_item_id.yaml"
TRAIN_FILE = "train.yaml"
VOCABULARY_FOLDER = "vocabulary"


@dataclass(frozen=True)
class TimeUnit:
    """The time in which the sessions of one file start, and how the name of a file says it."""

    step: timedelta
    name_format: str
    pattern: str
    shape: str
    example: str

    @property
    def milliseconds(self) -> int:
        return self.step // timedelta(milliseconds=1)

    def name(self, day: datetime) -> str:
        """Name a day, or an hour, as its files do."""
        return day.strftime(self.name_format)

    def number(self, day: datetime) -> int:
        """Number a day, or an hour, so that the next one has the next number."""
        return (day - datetime.min) // self.step

    def file_name(self, day: datetime, split: str) -> str:
        return file_name(self.name(day), split)

    def parse(self, text: str, where: str) -> datetime:
        """Read the name of a day, or an hour; `where` begins the message of the InputError."""
        try:
            return datetime.strptime(str(text), self.name_format)
        except ValueError as error:
            raise InputError(
                f"{where} {text!r} is not a valid date; write {self.shape}, such as {self.example}"
            ) from error

    def names_in(self, files: Iterable[str]) -> list[str]:
        """List the days, or hours, that these names of files name, each once."""
        pattern = re.compile(
            file_name(f"({self.pattern})", f"(?:{'|'.join(SPLITS)})").replace(".parquet", r"\.parquet")
        )
        return sorted({match[1] for match in map(pattern.fullmatch, files) if match})


# By what the setting time_unit says.
TIME_UNITS = {
    "day": TimeUnit(timedelta(days=1), "%Y-%m-%d", r"\d{4}-\d{2}-\d{2}", "YYYY-MM-DD", "2019-10-01"),
    "hour": TimeUnit(
        timedelta(hours=1),
        "%Y-%m-%d-%H",
        r"\d{4}-\d{2}-\d{2}-\d{2}",
        "YYYY-MM-DD-HH (time_unit is hour)",
        "2019-10-01-13",
    ),
}


def file_name(day: str, split: str) -> str:
    """Name the file of a split of a day (or an hour)."""
    return f"session_start_date={day}-{split}.parquet"


def vocabulary_file(column: str) -> str:
    """Name the file of the raw values and ids of a column."""
    return f"{VOCABULARY_FOLDER}/{column}.parquet"
