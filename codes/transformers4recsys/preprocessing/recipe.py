"""Which raw column is what, and by which rules raw events become sessions: flags, or a small YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from transformers4recsys.day_format import TIME_UNITS
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import shipped
from transformers4recsys.preprocessing.dialect import NO_QUOTE
from transformers4recsys.preprocessing.text_files import is_encoding
from transformers4recsys.settings import check, check_names, only_in_files, pick, setting, unused

NEG_STRATEGIES = ("uniform", "recency", "recent_popularity", "session_cooccurrence")
NO_NEGATIVES = "it is about negative columns; give `neg_samples`, how many a position, too"
ITEM, CATEGORY, PRICE = "item_id", "category", "price"


@dataclass(frozen=True)
class Recipe:
    """Recipe: the columns of a raw event table and the rules of its sessions

    Checked when it is made. A YAML file (`recipe`) holds the same settings, and names.
    """

    files: str | None = setting(
        None, "which files count in an `input` that is a folder, such as clicks_*.csv", if_changed="ignore"
    )
    file_format: str | None = setting(
        None,
        "what the files are; without it, their names say so",
        choices=("csv", "json", "parquet"),
        if_changed="ignore",
    )
    separator: str | None = setting(None, "what separates CSV columns; found out without it", if_changed="ignore")
    quote: str | None = setting(
        None, "what encloses CSV values, one character, or none; found out without it", if_changed="ignore"
    )
    encoding: str | None = setting(
        None, "encoding of CSV and JSON, such as cp1252 [that of the file's mark, else utf-8]", if_changed="ignore"
    )
    decimal: str = setting(".", "decimal sign of numbers in text", choices=(".", ","), if_changed="ignore")
    bad_lines: str = setting(
        "refuse",
        "broken lines of CSV and JSON are refused, or skipped and counted",
        choices=("refuse", "skip"),
        if_changed="ignore",
    )
    missing_values: tuple[str, ...] = setting(
        ("NULL", "\\N"), "text that stands for a missing value, as empty text always does"
    )
    column_names: tuple[str, ...] = setting(
        (), "names of the columns of CSV files that have no header", if_changed="ignore"
    )
    item_column: str | None = setting(None, "raw column of the item id")
    time_column: str | None = setting(None, "raw column of the time: timestamp, date, text, or a number since 1970")
    session_column: str | None = setting(None, "raw column of the session id; without it, a user's pauses end sessions")
    user_column: str | None = setting(
        None, "raw column of the user id, for past sessions (and sessions, without a session id)"
    )
    order_column: str | None = setting(
        None, "raw column of numbers that orders events of the same time; else the item does"
    )
    category_column: str | None = setting(None, "raw column of the item's category; prices are compared with its mean")
    price_column: str | None = setting(None, "raw column of the price")
    categorical_columns: tuple[str, ...] = setting((), "further raw columns that become ids")
    numeric_columns: tuple[str, ...] = setting((), "further raw columns of numbers, standardised")
    event_type_column: str | None = setting(None, "raw column of the event type")
    event_types: tuple[str, ...] = setting((), "types of events to keep; all without it")
    time_format: str | None = setting(None, "how times are written, such as %d/%m/%Y %H:%M:%S; ISO 8601 without it")
    epoch_unit: str | None = setting(
        None, "unit of times that are numbers since 1970 [s]", choices=("s", "ms", "us", "ns")
    )
    time_unit: str = setting("day", "what one file holds", choices=lambda: TIME_UNITS)
    session_gap_minutes: float | None = setting(
        None, "pause that ends a session [30 without `session_column`, else none]", at_least=1
    )
    drop_repeats: str = setting(
        "consecutive", "which repeats of an item in a session are dropped", choices=("consecutive", "all", "none")
    )
    session_length_max: int = setting(20, "longest session; longer ones keep their last events", at_least=2)
    train_length_max: int | None = setting(
        None,
        "longest row that is trained on, with another `split` than days: a longer session makes several, so that all "
        "its events are learned from [the last `session_length_max` events alone]",
        at_least=2,
    )
    past_length_max: int = setting(20, "longest past of a session's user, in columns bef_...; 0 for none", at_least=0)
    fit_days: int = setting(
        1, "first days, or hours with `time_unit` hour, on which numbers are standardised", at_least=1
    )
    spare_ids: float = setting(0.0, "share of ids kept free above the largest, for items of days to come", at_least=0)
    split: str = setting(
        "days",
        "a file a day; or one sequence a user (or session), with its last two items held out, cut at two "
        "dates, or as published",
        choices=("days", "leave_one_out", "time", "given"),
    )
    split_column: str | None = setting(None, "raw column that says train, valid or test, with `split` given")
    valid_from: str | None = setting(
        None, "first day of validation, with `split` time [80 % of the events lie before it]"
    )
    test_from: str | None = setting(None, "first day of the test, with `split` time [90 % of the events lie before it]")
    k_core: int = setting(
        0,
        "least events of a user and of an item, fewer are left out until none is left; not with `split` days",
        at_least=0,
    )
    neg_samples: int = setting(
        0,
        "negatives a position, in the column _neg_ITEM: different items that are not in the session, "
        "drawn from the clicks of the days before its day; id 0, which losses skip, where too few are "
        "found, as on all of the first day: train from the second one; not with `split`",
        at_least=0,
    )
    neg_strategy: str = setting(
        "uniform",
        "items are drawn all alike, by the age of their last click, by clicks weighted by age, or out of "
        "sessions that have the position's item, filled up by recent_popularity",
        choices=NEG_STRATEGIES,
        used_if=lambda recipe: recipe.neg_samples > 0,
        unused_because=NO_NEGATIVES,
    )
    neg_window_days: int = setting(
        7,
        "days before the session's day that negatives are drawn from",
        at_least=1,
        used_if=lambda recipe: recipe.neg_samples > 0,
        unused_because=NO_NEGATIVES,
    )
    neg_decay: float = setting(
        0.8,
        "what a click's weight is multiplied by a day later; says nothing to uniform",
        above=0,
        at_most=1,
        used_if=lambda recipe: recipe.neg_samples > 0,
        unused_because=NO_NEGATIVES,
    )
    allow_shared_sessions: bool = setting(
        False, "take session ids that several users have for one session each", if_changed="ignore"
    )
    allow_long_sessions: bool = setting(False, "take sessions that last longer than a day", if_changed="ignore")
    allow_outlying_times: bool = setting(
        False, "take events later than now, and days far from all others", if_changed="ignore"
    )
    allow_empty_days: bool = setting(False, "write days on which no session has two events", if_changed="ignore")
    names: Mapping[str, str] = only_in_files(dict)

    def __post_init__(self) -> None:
        check(self)
        if self.separator == r"\t":
            object.__setattr__(self, "separator", "\t")
        self._check_columns()
        self._check_text()
        self._check_split()
        self._check_negatives()
        self._check_names()

    def _check_columns(self) -> None:
        for name in ("files", "separator", "quote", "encoding"):
            value = getattr(self, name)
            if value == "":
                raise InputError(f"`{name}` is empty; leave it out, or give text")
        may_lack_time = self.split in ("leave_one_out", "given") and self.order_column
        for name in ("item_column", *(() if may_lack_time else ("time_column",))):
            if not getattr(self, name):
                raise InputError(f"`{name}` is not given; name the raw column, by the flag or in the recipe")
        if not self.session_column and not self.user_column:
            raise InputError("give `session_column`, or `user_column` to cut sessions where a user pauses")
        if self.event_types and not self.event_type_column:
            raise InputError("`event_types` needs `event_type_column`, the raw column that holds the type")

    def _check_text(self) -> None:
        if self.quote is not None and len(self.quote) != 1 and self.quote != NO_QUOTE:
            raise InputError(f"`quote` {self.quote!r}: give one character, or {NO_QUOTE}")
        if self.separator is not None and (set(self.separator) & {"\n", "\r"} or len(self.separator) > 4):
            raise InputError(f"`separator` {self.separator!r}: give one to four characters without a line end")
        if self.separator is not None and self.quote is not None and self.quote in self.separator:
            raise InputError(f"`separator` {self.separator!r} holds the `quote` {self.quote!r}; they must differ")
        if self.encoding is not None and not is_encoding(self.encoding):
            raise InputError(f"`encoding` {self.encoding!r} is unknown; allowed are utf-8, cp1252, utf-16 and the like")
        names = [name.lower() for name in self.column_names]
        twice = [name for name in self.column_names if names.count(name.lower()) > 1]
        if twice:
            raise InputError(f"`column_names`: {twice[0]!r} is there twice; give each column its own name")

    def _check_split(self) -> None:
        if self.split != "given" and self.split_column or self.split == "given" and not self.split_column:
            raise InputError(
                "`split` given and `split_column`, the raw column that says train, valid or test, go together"
            )
        if (
            self.split != "time"
            and (self.valid_from or self.test_from)
            or bool(self.valid_from) != bool(self.test_from)
        ):
            raise InputError("`valid_from` and `test_from` go together, and with `split` time")
        if not self.is_split and self.k_core:
            raise InputError("`k_core` counts the events of all days, so it would look ahead; it needs another `split`")
        if not self.is_split and self.train_length_max:
            raise InputError(
                "`train_length_max` makes several training rows of a long sequence, and needs another `split` than days"
            )
        if self.is_split and self.time_unit != "day":
            raise InputError(f"`split` {self.split} makes no files of hours; give `time_unit` day")

    def _check_negatives(self) -> None:
        for name, reason in unused(self).items():
            raise InputError(f"`{name}` has no effect: {reason}")
        if self.is_split and self.neg_samples:
            raise InputError(
                f"`neg_samples` draws from the days before a session's; `split` {self.split} has no such days: leave "
                "one of the two out"
            )

    def _check_names(self) -> None:
        standard = self.standard_names
        for name in standard:
            if standard.count(name) > 1 or name.startswith("_"):
                raise InputError(
                    f"column {name!r}: this name is taken by another column of the output; rename it in the log"
                )
        for name in self.names:
            if name not in standard:
                raise InputError(f"names: {name!r} is not an output column; there are {', '.join(standard)}")
        outputs = [self.output_name(name) for name in standard]
        lower = [str(name).lower() for name in outputs]
        twice = [name for name in outputs if lower.count(str(name).lower()) > 1]
        if twice:
            raise InputError(f"names: two output columns are called {twice[0]!r}; give each its own name")
        for name, output in zip(standard, outputs, strict=True):
            if not is_safe_name(output):
                raise InputError(
                    f"column {output!r} cannot name a file of the output; give it another name by `names`, such as "
                    f"{{{name!r}: {re.sub('[^0-9A-Za-z_-]+', '_', str(output)).strip('_') or 'column'}}}"
                )

    @property
    def raw_columns(self) -> list[tuple[str, str]]:
        """Every raw column that is read, behind the setting that names it."""
        single = [item.name for item in fields(self) if item.name.endswith("_column")]
        named = [(name, getattr(self, name)) for name in single if getattr(self, name)]
        lists = ("categorical_columns", "numeric_columns")
        return named + [(name, column) for name in lists for column in getattr(self, name)]

    @property
    def categorical(self) -> dict[str, str]:
        """Standard name of each column that becomes ids, and its raw column."""
        return dict(self._categorical)

    @property
    def _categorical(self) -> list[tuple[str, str]]:
        first = [(ITEM, self.item_column), (CATEGORY, self.category_column)]
        return [(name, raw) for name, raw in first if raw] + [(raw, raw) for raw in self.categorical_columns]

    @property
    def gap_minutes(self) -> float | None:
        """The pause that ends a session; None where ids alone separate sessions, or the sequences of users."""
        return self.session_gap_minutes or (None if self.session_column or self.is_split else 30)

    @property
    def is_split(self) -> bool:
        """Whether there is one pair of training and evaluation files, not a file a day."""
        return self.split != "days"

    @property
    def has_history(self) -> bool:
        return bool(self.user_column) and self.past_length_max > 0 and not self.is_split

    @property
    def standard_names(self) -> list[str]:
        """Every output column there may be, by its standard name."""
        price = [PRICE] if self.price_column else []
        relative = ["relative_price"] if self.price_column and self.category_column else []
        times = ["time_since_last", "item_age", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "event_time"]
        scalars = ["session_id", "session_start", *(["user_id"] if self.user_column else [])]
        categorical = [name for name, _ in self._categorical]
        return [*categorical, *price, *relative, *self.numeric_columns, *times, *scalars]

    def output_name(self, name: str) -> str:
        return self.names.get(name, name)

    def defaults(self) -> dict[str, Any]:
        """Give what each setting is where nobody sets it; `names` has no such value."""
        return {item.name: item.default for item in fields(self) if item.name != "names"}

    def as_dict(self) -> dict[str, Any]:
        """Give every setting in the types of JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def is_safe_name(name: Any) -> bool:
    """Whether a file can be called so, inside its folder."""
    if type(name) is not str or not name.strip() or len(name.encode()) > 200 or name[0] == ".":
        return False
    return name.isprintable() and not set(name) & set("/\\")


def read_recipe(path: str | Path | None = None, flags: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe that ships with the program, or a YAML file; `flags` that are not None go before what it says."""
    values = _values_of(shipped.path_of(path)) if path else {}
    check_names(Recipe, values, where=f"`recipe` {path}")
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    return pick(Recipe, values)


def _values_of(path: Path) -> dict[str, Any]:
    try:
        # Some editors put a byte-order mark in front.
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"`recipe` {path}: {error.strerror or error}; give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"`recipe` {path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"`recipe` {path}: expected `setting: value` lines, found {values!r}")
    return values
