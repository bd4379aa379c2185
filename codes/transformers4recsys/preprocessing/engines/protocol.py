"""What the steps need of a database: to read raw files, keep tables, fetch small ones, and write parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ibis
from ibis.expr import types as ir

from transformers4recsys.day_format import HISTORY_PREFIX
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.columns import AT, LENGTH, ROW, Expression, column
from transformers4recsys.preprocessing.dialect import Dialect
from transformers4recsys.preprocessing.times import ParseTime


class Unreadable(InputError):
    """A file that a database cannot read; the text is the database's own."""


class Database(Protocol):
    """A database that runs Ibis expressions; it keeps tables until it is closed."""

    # Whether a kept table, or a part of it, is written in the order in which it was made.
    keeps_order: bool
    # Days are processed together up to about this number of events.
    events_at_a_time: int

    @property
    def parse_time(self) -> ParseTime:
        """Reads text as a time of a format, null where it is none."""
        ...

    def read(
        self,
        kind: str,
        files: Sequence[str],
        *,
        columns: Sequence[str] = (),
        dialect: Dialect | None = None,
        has_file: bool = False,
    ) -> ir.Table:
        """Open files (or folders of parquet parts) as one table; values of CSV and JSON stay text.

        CSV files, in UTF-8, are all of one dialect; `columns` are those to read of JSON lines. With `has_file`, FILE
        says which file a row is from. A row that is not as all others is an Unreadable, at the latest when it is read.
        """
        ...

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """Compute a table now, and keep it under `name` until the end or until it is kept anew."""
        ...

    def append(self, name: str, table: ir.Table) -> ir.Table:
        """Add rows to what is kept under `name`, or begin it; give all of it."""
        ...

    def find(self, name: str) -> ir.Table | None:
        """Give what is kept under `name`, if anything is."""
        ...

    def with_lists(
        self, name: str, rows: ir.Table, events: ir.Table, columns: Sequence[str], *, history: int = 0
    ) -> ir.Table:
        """Keep `rows`, by `_row`, with the `columns` of their events as lists, under `name`.

        The events of a row, one or more, have the same `_row`; they go by `_at`. With `history`, the lists hold
        the last `_length` events, and lists named with HISTORY_PREFIX the at most `history` before them.
        """
        ...

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """Fetch a small table."""
        ...

    def write(self, tables: Mapping[Path, ir.Table]) -> None:
        """Write each table, in its order, as a parquet file or a folder of parts."""
        ...

    def write_days(
        self,
        rows: ir.Table,
        events: ir.Table,
        columns: Sequence[str],
        files: Mapping[tuple[int, str], Path],
        names: Mapping[str, str],
        *,
        history: int = 0,
    ) -> None:
        """Write what `with_lists` would keep by day and split, in the order of `_row`, to files of one folder.

        `train` holds all rows of its day, `valid` and `test` those of that `_half`; a day without rows gets
        empty files. `names` says which columns are written, and under which name.
        """
        ...

    def close(self) -> None: ...


def lists_by_sorting(rows: ir.Table, events: ir.Table, columns: Sequence[str], *, history: int = 0) -> ir.Table:
    """Do `Database.with_lists` on any engine, in any order of rows: structs are collected and sorted."""
    each: Expression = ibis.struct({name: events[name] for name in (AT, *columns)})
    sorted_events = events.group_by(_of=ROW).agg(_events=each.collect().sort())
    joined = rows.join(sorted_events, ROW.of(rows) == sorted_events["_of"])
    if history:
        # Cut before the fields are split, two lists are cut in place of two a column.
        joined = split_lists(joined, ["_events"], history)
    lists = {
        prefix + name: column(joined, f"{prefix}_events").map(lambda event, name=name: event[name])
        for prefix in ("", *([HISTORY_PREFIX] if history else []))
        for name in columns
    }
    return joined.select(*rows.columns, **lists)


def split_lists(rows: ir.Table, columns: Sequence[str], history: int) -> ir.Table:
    """Cut each list in two: the last `_length` events, and the at most `history` before them."""
    cut = {}
    for name in columns:
        values = column(rows, name)
        end = values.length() - LENGTH.of(rows)
        cut[name] = values[end:]
        cut[HISTORY_PREFIX + name] = values[ibis.greatest(end - history, 0) : end]
    return rows.mutate(**cut)


def parts(files: Sequence[str]) -> list[str]:
    """Put the parquet parts of a folder, in their order, in its place."""
    return [
        part
        for file in files
        for part in (sorted(map(str, Path(file).glob("*.parquet"))) if Path(file).is_dir() else [file])
    ]
