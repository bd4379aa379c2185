"""What the steps need of a database: to read raw files, keep tables, fetch small ones, and write parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ibis
from ibis.expr import types as ir


class Engine(Protocol):
    """A database that runs Ibis expressions; it keeps tables until it is closed."""

    # Whether a kept table, or a part of it, is written in the order in which it was made.
    keeps_order: bool

    def read(
        self, kind: str, files: Sequence[str], *, separator: str | None = None, column_names: Sequence[str] = ()
    ) -> ir.Table:
        """Open raw files (or folders of parquet parts) as one table; values of CSV and JSON stay text.

        `column_names` are those of CSV files without a header, or those to read from JSON lines.
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

    def with_lists(self, name: str, rows: ir.Table, events: ir.Table, columns: Sequence[str]) -> ir.Table:
        """Keep `rows`, by `_row`, with the `columns` of their events as lists, under `name`.

        The events of a row, one or more, have the same `_row`; they go by `_at`.
        """
        ...

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """Fetch a small table."""
        ...

    def write(self, tables: Mapping[Path, ir.Table]) -> None:
        """Write each table, in its order, as a parquet file or a folder of parts."""
        ...

    def close(self) -> None: ...


def lists_by_sorting(rows: ir.Table, events: ir.Table, columns: Sequence[str]) -> ir.Table:
    """Do `Engine.with_lists` on any engine, in any order of rows: structs are collected and sorted."""
    fields = {name: events[name] for name in ("_at", *columns)}
    sorted_events = events.group_by(_of="_row").agg(_events=ibis.struct(fields).collect().sort())
    joined = rows.join(sorted_events, rows["_row"] == sorted_events["_of"])
    lists = {name: joined["_events"].map(lambda event, name=name: event[name]) for name in columns}
    return joined.select(*rows.columns, **lists)


def parts(files: Sequence[str]) -> list[str]:
    """Put the parquet parts of a folder, in their order, in its place."""
    return [
        part
        for file in files
        for part in (sorted(map(str, Path(file).glob("*.parquet"))) if Path(file).is_dir() else [file])
    ]
