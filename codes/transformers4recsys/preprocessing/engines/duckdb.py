"""DuckDB inside this process: reads raw files, keeps tables on disk, writes parquet, within a memory limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc
from ibis.expr import datatypes as dt
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.columns import AT, ROW
from transformers4recsys.preprocessing.dialect import FILE, Dialect
from transformers4recsys.preprocessing.engines import arrow_rows
from transformers4recsys.preprocessing.engines.protocol import Unreadable, parts

BATCH_SIZE = 500_000
FAILURES = (
    duckdb.OutOfMemoryException,
    duckdb.IOException,
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    # A stream is PyArrow's, and so are its errors; they say what DuckDB says.
    OSError,
    pa.ArrowException,
)


@ibis.udf.scalar.builtin
def try_strptime(text: str, time_format: str) -> dt.timestamp:  # type: ignore[empty-body]
    """Read text as a time of a format, with null where it is none, by the database's own function."""


def _parse_time(text: ir.StringColumn, time_format: str) -> ir.TimestampColumn:
    return try_strptime(text, time_format)


class DuckDB:
    """An `protocol.Database` on DuckDB."""

    keeps_order = True
    events_at_a_time = 2_000_000
    parse_time = staticmethod(_parse_time)

    def __init__(self, folder: Path, *, memory_limit: str = "3GB", threads: int = 0) -> None:
        """Open a database in `folder`, which also takes what does not fit in memory; threads 0: one a core."""
        self._kept: dict[str, ir.Table] = {}
        self._numbers = count()
        with _explained():
            # A database in memory spills to the disk as well, and spends no time on compression as one in a file does.
            self._ibis = ibis.duckdb.connect(temp_directory=str(folder / "spill"))
            settings = {
                "TimeZone": "UTC",
                # Ibis 12 writes lambdas with an arrow.
                "lambda_syntax": "ENABLE_SINGLE_ARROW",
                # `keeps_order`: rows of files are in the order of their table, on any number of threads.
                "preserve_insertion_order": "true",
            }
            for name, value in settings.items():
                self._ibis.con.execute(f"SET GLOBAL {name} = '{value}'")
            # See `times`.
            self._ibis.con.execute("CREATE MACRO timestamp_millis(number) AS make_timestamp_ms(number)")
            if threads:
                self._ibis.con.execute(f"SET threads = {threads}")
            [(self._threads,)] = self._ibis.con.execute("SELECT current_setting('threads')").fetchall()
            try:
                self._ibis.con.execute(f"SET memory_limit = '{memory_limit}'")
            except duckdb.Error as error:
                raise InputError(f"`memory_limit` {memory_limit!r}: expected a size such as 3GB or 500MB") from error

    def read(
        self,
        kind: str,
        files: Sequence[str],
        *,
        columns: Sequence[str] = (),
        dialect: Dialect | None = None,
        has_file: bool = False,
    ) -> ir.Table:
        """Open files as one table; values of CSV and JSON stay text, so that 007 stays an id of its own."""
        names, what = "*", []
        if dialect:
            names, what = _of_csv(dialect)
            names += f", {FILE}" if has_file else ""
        elif kind == "json":
            kinds = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in columns)
            what = [f"columns = {{{kinds}}}", "format = 'newline_delimited'"]
        elif kind == "parquet":
            what = ["union_by_name = true"]
        what += [f"filename = '{FILE}'"] if has_file else []
        paths = ", ".join(map(_quoted, parts(files) if kind == "parquet" else files))
        view = f"read {next(self._numbers)}"
        query = f"SELECT {names} FROM read_{kind}({', '.join([f'[{paths}]', *what])})"
        with _explained():
            self._ibis.con.execute(f'CREATE VIEW "{view}" AS {query}')
            return self._ibis.table(view)

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """Compute a table now, and keep it under `name` until the end or until it is kept anew."""
        with _explained():
            self._kept[name] = self._ibis.create_table(name, table, overwrite=True)
        return self._kept[name]

    def append(self, name: str, table: ir.Table) -> ir.Table:
        """Add rows to what is kept under `name`, or begin it; give all of it."""
        if name not in self._kept:
            return self.keep(name, table)
        with _explained():
            self._ibis.insert(name, table)
        return self._kept[name]

    def find(self, name: str) -> ir.Table | None:
        """Give what is kept under `name`, if anything is."""
        return self._kept.get(name)

    def with_lists(
        self, name: str, rows: ir.Table, events: ir.Table, columns: Sequence[str], *, history: int = 0
    ) -> ir.Table:
        """Keep `rows`, by `_row`, with the `columns` of their events as lists, by `_at`, under `name`.

        Sorted events are lists already, all but the place where each begins; to collect them takes DuckDB far longer.
        """
        put = self.keep
        with _explained():
            for part in _with_lists(self._ibis, rows, events, columns, history):
                # A memtable of Ibis would hold on to its memory.
                self._ibis.con.register("part", part)
                put(name, self._ibis.table("part"))
                put = self.append
            self._ibis.con.unregister("part")
        return self._kept[name]

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """Fetch a small table."""
        with _explained():
            return table.to_pyarrow().to_pylist()

    def batches(self, table: ir.Table, size: int) -> Iterator[pa.RecordBatch]:
        """Fetch a large table in parts of `size` rows; nothing else can be asked in between."""
        with _explained():
            yield from self._ibis.con.cursor().sql(self._ibis.compile(table)).to_arrow_reader(size)

    def write(self, tables: Mapping[Path, ir.Table]) -> None:
        """Write each table, in its order, as one parquet file; several side by side, since one takes one core."""
        with _explained(), ThreadPoolExecutor(max_workers=self._threads) as pool:
            queries = map(self._ibis.compile, tables.values())
            list(pool.map(lambda path, query: _copy(self._ibis.con.cursor(), path, query), tables, queries))

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
        """Write rows with lists by day and split as they come, none is kept."""
        with _explained(), ThreadPoolExecutor(max_workers=self._threads + 1) as pool:
            arrow_rows.write_days(_with_lists(self._ibis, rows, events, columns, history), files, names, pool)

    def close(self) -> None:
        self._ibis.disconnect()


def _with_lists(
    connection, rows: ir.Table, events: ir.Table, columns: Sequence[str], history: int
) -> Iterator[pa.Table]:
    """Make rows with lists, a part at a time; at least one part, even if there are no events."""
    in_order = events.order_by(ROW, AT).select(ROW, *columns)
    stream = connection.con.cursor().sql(connection.compile(in_order)).to_arrow_reader(BATCH_SIZE)
    for batch, starts in arrow_rows.of_whole_rows(stream):
        numbers = batch[ROW].take(pa.array(starts[:-1]))
        bounds = pc.min_max(numbers).as_py()
        part = rows.filter(rows[ROW].between(bounds["min"], bounds["max"])).order_by(ROW).to_pyarrow()
        assert part[ROW].combine_chunks().equals(numbers)
        yield arrow_rows.with_lists(part, batch, starts, columns, history)


def _of_csv(dialect: Dialect) -> tuple[str, list[str]]:
    """Give the columns to select, and how a file of this dialect is read, with nothing left to be found out."""
    # Numbered, as DuckDB takes names that differ in capitals for the same.
    kinds = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(len(dialect.columns)))
    names = ", ".join(f"c{number} AS {_name(name)}" for number, name in enumerate(dialect.columns))
    what = {
        "auto_detect": "false",
        "header": str(dialect.has_header).lower(),
        "columns": f"{{{kinds}}}",
        "delim": _quoted(dialect.separator),
        "quote": _quoted(dialect.quote),
        "escape": _quoted(dialect.quote),
        "strict_mode": "true",
    }
    return names, [f"{name} = {value}" for name, value in what.items()]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        line = _first_line(error)
        if "Out of Memory" in line:
            raise InputError(f"out of memory: {line}; raise `memory_limit`, or free space on the disk") from error
        if "No space left on device" in line:
            # The message is JSON inside a sentence: of it, only the file says something.
            place = re.search(r'file \\?"([^"\\]+)', line)
            raise InputError(
                f"the disk is full{f': {place[1]} cannot be written' if place else ''}; free space on it, or choose "
                "another `output`"
            ) from error
        file = re.search(r"^ *file = (.*)$", str(error), re.MULTILINE)
        where = f" {file[1]}" if file else ""
        raise Unreadable(f"a file cannot be read or written:{where} {line}") from error


def _quoted(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _copy(cursor: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    cursor.execute(f"COPY ({query}) TO {_quoted(path)} (FORMAT PARQUET)")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
