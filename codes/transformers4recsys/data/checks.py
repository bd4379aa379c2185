"""What bad input gets: every file of a run is read against the schema before the first step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformers4recsys.counted_items import sessions_with_items
from transformers4recsys.data.moments import Moments
from transformers4recsys.data.parquet.columns import as_input, flattened, is_list, is_text, to_numpy, value_type
from transformers4recsys.data.parquet.files import open_parquet
from transformers4recsys.data.parquet.row_groups import BUFFER_SIZE, read_slices
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Feature, Schema

ROWS_AT_A_TIME = 65_536

# By dtype: the value types allowed, and how a message names them.
VALUE_TYPES = {
    "categorical": ((pa.types.is_integer,), "integers"),
    "long": ((pa.types.is_integer,), "integers"),
    "float": ((pa.types.is_floating, pa.types.is_integer), "floats or integers"),
    "timestamp": ((pa.types.is_timestamp, pa.types.is_integer), "timestamps or integers"),
    "text": ((is_text,), "text"),
}

FLOAT_IDS = " (pandas turns integers with gaps into floats: fill the gaps, then cast)"


@dataclass(frozen=True)
class CheckedFile:
    """What one reading of a file has found.

    Sessions are rows with two or more items: the others hold nothing to predict. Each of `item_ids` (I,) occurs
    `item_counts` (I,) times in them, and in `session_counts` (I,) of them, in the part of a session that is kept.
    `moments` are those of the numeric columns.
    """

    num_rows: int
    num_sessions: int
    item_ids: np.ndarray = field(compare=False)
    item_counts: np.ndarray = field(compare=False)
    session_counts: np.ndarray = field(compare=False)
    moments: tuple[Moments, ...] = field(compare=False)
    footer: pq.FileMetaData = field(compare=False)


def check_files(
    files: Iterable[str], schema: Schema, *, session_length_max: int | None = None
) -> dict[str, CheckedFile]:
    """Read every file once, in bounded memory; raise InputError on the first value that cannot be used."""
    return {file: check_file(file, schema, session_length_max=session_length_max) for file in files}


def check_file(file: str, schema: Schema, *, session_length_max: int | None = None) -> CheckedFile:
    """Check types, nulls, ids, finite numbers and list lengths of one parquet file, and count its items.

    Items count among the last `session_length_max` of their session, or wherever they are.
    """
    parquet = open_parquet(file, buffer_size=BUFFER_SIZE)
    check_types(parquet.schema_arrow, schema, file)
    names = [feature.name for feature in schema.columns]
    num_rows = num_sessions = 0
    moments = [Moments() for _ in schema.numeric]
    counts_V, sessions_V = np.zeros((2, schema.item_id.cardinality), np.int64)
    for rows in read_slices(parquet, file, names, ROWS_AT_A_TIME, use_threads=True):
        num_sessions += _RowCheck(file, num_rows, schema).check(rows)
        num_rows += len(rows)
        items_N, session_N = _items_of_sessions(rows.column(schema.item_id.name), session_length_max)
        np.add.at(counts_V, items_N, 1)
        sessions_V += sessions_with_items(items_N, session_N, len(counts_V))
        moments = [
            of_column + Moments.of(to_numpy(flattened(rows.column(feature.name))[0]))
            for of_column, feature in zip(moments, schema.numeric, strict=True)
        ]
    item_ids = np.flatnonzero(counts_V)
    counts = counts_V[item_ids], sessions_V[item_ids]
    return CheckedFile(num_rows, num_sessions, item_ids, *counts, tuple(moments), parquet.metadata)


def add_moments(files: Iterable[CheckedFile]) -> list[Moments]:
    """Join the moments of each numeric column over some files."""
    return [sum(of_column, Moments()) for of_column in zip(*(file.moments for file in files), strict=True)]


def count_items(files: Iterable[CheckedFile], num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Add up how often each item occurs in the sessions of some files, and in how many of them, (num_items,) each.

    The second gives the number of all sessions to item 0, which is padding.
    """
    counts_V, sessions_V = np.zeros((2, num_items), np.int64)
    for file in files:
        counts_V[file.item_ids] += file.item_counts
        sessions_V[file.item_ids] += file.session_counts
        sessions_V[0] += file.num_sessions
    return counts_V, sessions_V


def _items_of_sessions(column: pa.Array, session_length_max: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Give the last items of all rows that hold two or more, and their rows, (N,) each."""
    values, offsets = flattened(column)
    assert offsets is not None, "the item id is a list"
    lengths = np.diff(offsets)
    is_kept: np.ndarray = np.repeat(lengths > 1, lengths)
    if session_length_max is not None:
        is_kept &= np.repeat(offsets[1:], lengths) - np.arange(len(is_kept)) <= session_length_max
    session_N = np.repeat(np.arange(len(lengths)), lengths)
    return as_input(to_numpy(values), "categorical")[is_kept], session_N[is_kept]


def check_types(columns: pa.Schema, schema: Schema, file: str) -> None:
    """Check that each column of the schema is there, with a type that widens exactly."""
    missing = [feature.name for feature in schema.columns if feature.name not in columns.names]
    if missing:
        near = {name: difflib.get_close_matches(name, columns.names, n=1) for name in missing}
        hints = [f"{name} (nearest: {near[name][0]})" if near[name] else name for name in missing]
        raise InputError(
            f"{file} has no column {', '.join(hints)}; it has {', '.join(columns.names)}. "
            "Correct the names in the feature config, or write the file again"
        )
    must_be_list = {schema.item_id.name, *(f.name for f in (*schema.past.values(), *schema.negatives.values()))}
    for feature in schema.columns:
        found = columns.field(feature.name).type
        tests, allowed = VALUE_TYPES[feature.dtype]
        is_right = any(test(value_type(found)) for test in tests)
        if feature.name in must_be_list:
            allowed, is_right = f"a list of {allowed}", is_right and is_list(found)
        elif not is_right:
            allowed = f"{allowed}, or lists of them"
        if not is_right:
            raise InputError(
                f"{file}: column {feature.name} has the type {found}, but dtype {feature.dtype} allows {allowed}; "
                "write the column with such a type, or correct its dtype in the feature config"
                + (FLOAT_IDS if pa.types.is_floating(value_type(found)) else "")
            )


def bad_ids(values: np.ndarray, least: int, cardinality: int) -> tuple[np.ndarray, str, str]:
    """Find ids that have no row in their table; `least` is 1 for items, whose id 0 is padding."""
    remedy = "correct the ids, or the cardinality in the feature config"
    if least:
        remedy += " (item id 0 is padding and never occurs in a session)"
    return (values < least) | (values >= cardinality), f"{least} to {cardinality - 1}", remedy


def bad_floats(values: np.ndarray, *_: int) -> tuple[np.ndarray, str, str]:
    """Find NaN, infinite values, and those that would be infinite in 32 bits."""
    return ~np.isfinite(as_input(values, "float")), "finite numbers up to 3.4e38", "drop or fill it"


def bad_integers(values: np.ndarray, *_: int) -> tuple[np.ndarray, str, str]:
    """Find unsigned integers that 64 bits with sign do not hold."""
    return values > np.iinfo(np.int64).max, "integers of 64 bits with sign", "write a smaller number"


# By dtype: which values are bad, what is allowed, what to do.
BAD_VALUES = {"categorical": bad_ids, "long": bad_integers, "float": bad_floats, "timestamp": bad_integers}


@dataclass(frozen=True)
class _RowCheck:
    """Checks some rows of a file, of which the first has the number `first_row`."""

    file: str
    first_row: int
    schema: Schema

    def check(self, rows: pa.RecordBatch) -> int:
        """Raise InputError on the first bad value; count the rows with two or more items."""
        offsets = {feature.name: self._values(feature, rows.column(feature.name)) for feature in self.schema.columns}
        item = self.schema.item_id
        lengths = {name: np.diff(of_list) for name, of_list in offsets.items() if of_list is not None}
        self._same_lengths([feature.name for feature in self.schema.features if feature.name in lengths], item, lengths)
        pasts = list(self.schema.past.values())
        if pasts:
            first = self.schema.past_of(item) or pasts[0]
            self._same_lengths([feature.name for feature in pasts], first, lengths)
        for feature in self.schema.negatives.values():
            self._multiple_lengths(feature.name, item, lengths)
        return int((lengths[item.name] > 1).sum())

    def _values(self, feature: Feature, column: pa.Array) -> np.ndarray | None:
        if column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            self._refuse(feature.name, row, "found a null", "write a value or a list (an empty one for no items)")
        values, offsets = flattened(column)
        if values.null_count:
            row = _row_of(pc.index(values.is_null(), True).as_py(), offsets)
            self._refuse(feature.name, row, "found a null inside the list", "drop or fill it in all lists of the row")
        if feature.dtype != "text":
            self._numbers(feature, to_numpy(values), offsets)
        return offsets

    def _numbers(self, feature: Feature, values: np.ndarray, offsets: np.ndarray | None) -> None:
        is_item = feature in (self.schema.item_id, self.schema.past_of(self.schema.item_id))
        is_bad, allowed, remedy = BAD_VALUES[feature.dtype](values, int(is_item), feature.cardinality or 0)
        if is_bad.any():
            place = int(is_bad.argmax())
            self._refuse(feature.name, _row_of(place, offsets), f"found {values[place]}, allowed: {allowed}", remedy)

    def _same_lengths(self, names: list[str], first: Feature, lengths: dict[str, np.ndarray]) -> None:
        for name in names:
            if not np.array_equal(lengths[name], lengths[first.name]):
                row = int((lengths[name] != lengths[first.name]).argmax())
                self._refuse_length(name, row, lengths, first, "as long as")

    def _multiple_lengths(self, name: str, item: Feature, lengths: dict[str, np.ndarray]) -> None:
        # A session without items has no negatives either: then any length but 0 is wrong.
        is_bad = np.where(lengths[item.name] > 0, lengths[name] % np.maximum(lengths[item.name], 1), lengths[name]) != 0
        if is_bad.any():
            self._refuse_length(name, int(is_bad.argmax()), lengths, item, "a whole multiple of")

    def _refuse_length(
        self, name: str, row: int, lengths: dict[str, np.ndarray], first: Feature, must_be: str
    ) -> NoReturn:
        lengths_here = lengths[name][row], lengths[first.name][row]
        found = f"the list has {lengths_here[0]} values, and that of {first.name} has {lengths_here[1]}"
        self._refuse(name, row, found, f"it must be {must_be} that: write the row again")

    def _refuse(self, name: str, row: int, found: str, remedy: str) -> NoReturn:
        raise InputError(f"{self.file}: column {name}, row {self.first_row + row} (from 0): {found}; {remedy}")


def _row_of(place: int, offsets: np.ndarray | None) -> int:
    """Give the row that holds the value at `place`."""
    return place if offsets is None else int(np.searchsorted(offsets, place, side="right")) - 1
