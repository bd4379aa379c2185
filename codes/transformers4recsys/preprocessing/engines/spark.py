"""PySpark: runs the same expressions on any master; keeps tables as parquet folders, writes folders of parts."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import chain, count, zip_longest
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr import datatypes as dt
from ibis.expr import types as ir
from sqlglot.dialects import Spark as SparkDialect

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.columns import AT, HALF, LENGTH, ROW
from transformers4recsys.preprocessing.dialect import FILE, Dialect
from transformers4recsys.preprocessing.engines import arrow_rows
from transformers4recsys.preprocessing.engines.protocol import Unreadable, lists_by_sorting, parts
from transformers4recsys.preprocessing.steps import sessions

INSTALL = "pip install 'transformers4recsys[spark]', and Java 17 (apt-get install openjdk-17-jre-headless)"
DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "16",
    # Files that jobs exchange are deleted only after Java collects its garbage.
    "spark.cleaner.periodicGC.interval": "5min",
}
# Conditions of Spark's errors that are about the input, and what to do about them.
OF_INPUT = {
    "FAILED_READ_FILE": "",
    "PATH_NOT_FOUND": "",
    "CANNOT_READ": "",
    "UNABLE_TO_INFER_SCHEMA": "",
    "CAST_INVALID_INPUT": "",
    "MALFORMED_": "",
    "CANNOT_MERGE": "; write the column with one type in all files",
    "PARQUET_TYPE_ILLEGAL": "; write the column with a type that Spark reads (times in microseconds)",
}


@ibis.udf.scalar.builtin
def try_to_timestamp(text: str, pattern: str) -> dt.timestamp:  # type: ignore[empty-body]
    """Read text as a time of a pattern of Java, with null where it is none, by the database's own function."""


def java_pattern(time_format: str) -> str:
    """Write a format of Python, such as %d/%m/%Y, as a pattern of Java, dd/MM/yyyy; InputError where it has none."""
    known = dict(SparkDialect.INVERSE_TIME_MAPPING)
    parts = re.split("(%-?.)", time_format)
    if unknown := [part for part in parts[1::2] if part not in known]:
        raise InputError(
            f"`time_format` {time_format}: `engine` spark does not read {', '.join(unknown)}; it reads "
            f"{', '.join(sorted(name for name in known if name.startswith('%')))}"
        )
    # Letters between the parts stand for themselves; in a pattern they are quoted.
    quoted = [re.sub("[A-Za-z']+", lambda found: "'" + found[0].replace("'", "''") + "'", part) for part in parts[::2]]
    return "".join(chain.from_iterable(zip_longest(quoted, (known[part] for part in parts[1::2]), fillvalue="")))


def _parse_time(text: ir.StringColumn, time_format: str) -> ir.TimestampColumn:
    return try_to_timestamp(text, java_pattern(time_format))


class Spark:
    """An `protocol.Database` on Spark; `folder` must be one that the driver and all workers see."""

    keeps_order = False
    # Few large jobs: Spark goes to the disk by itself where memory ends.
    events_at_a_time = 20_000_000
    # Lists of these are in the memory of a worker at once; no part has rows of two days.
    rows_a_part = sessions.SESSIONS_A_DAY_MAX // 10_000
    parse_time = staticmethod(_parse_time)

    def __init__(self, folder: Path, *, master: str | None = None) -> None:
        """Start Spark on `master`, or where spark-submit says; an active session is taken as it is, and left so."""
        try:
            from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

            active = SparkSession.getActiveSession()
            self._session, self._is_own = (active or _started(SparkSession.builder, master)), not active
        except ImportError as error:
            raise InputError(f"`engine` spark: pyspark is not installed; {INSTALL}") from error
        # A session of its own on the same Spark: settings and views do not show outside.
        self._session = self._session.newSession()
        self._session.conf.set("spark.sql.parquet.inferTimestampNTZ.enabled", "false")
        # Else times of kept tables are written in the slow INT96.
        self._session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        # A row of too few columns is found in columns that are not asked for, too.
        self._session.conf.set("spark.sql.csv.parser.columnPruning.enabled", "false")
        self._ibis = ibis.pyspark.connect(self._session)
        self._folder, self._numbers = folder.absolute(), count()
        self._kept: dict[str, list[str]] = {}
        self._tables: dict[str, ir.Table] = {}

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
        readers = {
            "csv": lambda path: _csv(self._session, path, dialect),
            "json": lambda path: self._session.read.schema(_text_columns(columns)).json(path, mode="FAILFAST"),
            "parquet": lambda *paths: self._session.read.option("mergeSchema", True).parquet(*paths),
        }
        paths = parts(files) if kind == "parquet" else list(files)
        with _explained():
            if has_file:
                frame = _one_by_one(readers[kind], paths)
            elif kind == "parquet":
                frame = readers[kind](*map(uri, paths))
            else:
                frame = _one_by_one(readers[kind], paths).drop(FILE)
            return _view(self._ibis, frame, next(self._numbers))

    def keep(self, name: str, table: ir.Table) -> ir.Table:
        """Compute a table now, and keep it under `name` until the end or until it is kept anew."""
        before = self._kept.pop(name, [])
        kept = self.append(name, table)
        for path in before:
            shutil.rmtree(path)
        return kept

    def append(self, name: str, table: ir.Table) -> ir.Table:
        """Add rows to what is kept under `name`, or begin it; give all of it."""
        path = str(self._folder / f"kept-{next(self._numbers)}")
        with _explained():
            frame = self._frame(table)
            frame.write.parquet(uri(path))
            self._kept.setdefault(name, []).append(path)
            frame = self._session.read.schema(frame.schema).parquet(*map(uri, self._kept[name]))
            self._tables[name] = _view(self._ibis, frame, next(self._numbers))
        return self._tables[name]

    def find(self, name: str) -> ir.Table | None:
        """Give what is kept under `name`, if anything is."""
        return self._tables.get(name)

    def with_lists(
        self, name: str, rows: ir.Table, events: ir.Table, columns: Sequence[str], *, history: int = 0
    ) -> ir.Table:
        """Keep `rows` with the `columns` of their events as lists, by `_at`, under `name`."""
        return self.keep(name, lists_by_sorting(rows, events, columns, history=history))

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """Fetch a small table."""
        with _explained():
            return [row.asDict(recursive=True) for row in self._frame(table).collect()]

    def write(self, tables: Mapping[Path, ir.Table]) -> None:
        """Write each table, in its order, as a folder of parquet parts; times without a zone, as all are UTC."""
        for path, table in tables.items():
            with _explained():
                _without_zone(self._frame(table)).write.parquet(uri(path))

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
        """Let each task cut lists from its sorted events, and write them: to collect lists takes Spark far longer."""
        folder = next(iter(files.values())).parent / "parts"
        folder.mkdir(parents=True)
        with _explained():
            entries = _without_zone(self._frame(_entries(rows, events, columns, names)))
            # All of a part comes to one task.
            part = entries[ROW] - entries[ROW] % self.rows_a_part
            entries = entries.repartition(part).sortWithinPartitions(ROW, AT)
            options = {"size": self.rows_a_part, "history": history}
            write = _writing_parts(list(columns), dict(names), str(folder.absolute()), options)
            parts = entries.mapInArrow(write, "part long, split string, path string").collect()
        for part, split, written in sorted(parts):
            path = files[part * self.rows_a_part // sessions.SESSIONS_A_DAY_MAX, split]
            path.mkdir(exist_ok=True)
            Path(written).rename(path / f"part-{part:012}.parquet")
        empty = [path for path in files.values() if not path.exists()]
        if empty:
            lists = lists_by_sorting(rows, events, columns, history=history).limit(0)
            self.write({folder / "empty": lists.select(**{new: lists[name] for name, new in names.items()})})
        for path in empty:
            shutil.copytree(folder / "empty", path)
        for path in files.values():
            (path / "_SUCCESS").touch()
        shutil.rmtree(folder)

    @property
    def session(self) -> Any:
        """The session on Spark, for what is no table of events."""
        return self._session

    def close(self) -> None:
        if self._is_own:
            self._session.stop()

    def _frame(self, table: ir.Table):
        """Give the result the types that Ibis promises: Spark numbers rows in 32 bits."""
        promised = self._ibis.compiler.type_mapper
        kinds = [promised.to_string(kind) for kind in table.schema().values()]
        return _cast(self._session.sql(self._ibis.compile(table)), kinds)


def _entries(rows: ir.Table, events: ir.Table, columns: Sequence[str], names: Mapping[str, str]) -> ir.Table:
    """Put rows, with what the files need of them, and their events into one table, see `arrow_rows.write_parts`."""
    of_row = [name for name in rows.columns if name in (ROW, HALF, LENGTH, *names)]
    no_event = {name: ibis.null(events[name].type()) for name in (AT, *columns)}
    no_row = {name: ibis.null(rows[name].type()) for name in of_row if name != ROW}
    of_events = events.select(ROW, AT, *columns).mutate(**no_row)
    return rows.select(*of_row).mutate(**no_event).union(of_events.select(*of_row, AT, *columns))


def _writing_parts(columns: list[str], names: dict[str, str], folder: str, options: dict[str, int]):
    """Make the function that workers run on the sorted entries of whole parts; this package is there, too."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        first = next(batches, None)
        if first is not None:
            entries = pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
            for part, split, path in arrow_rows.write_parts(entries, columns, names, folder, **options):
                yield pa.record_batch({"part": [part], "split": [split], "path": [path]})

    return write


def uri(path: str | Path) -> str:
    """Name the file system, as Spark may have another one by default; unquoted, as Hadoop takes %20 at its word."""
    return f"file://{Path(path).absolute()}"


def _one_by_one(reader: Callable[[str], Any], paths: Sequence[str]):
    """Read each file by itself, so that FILE can say where a row is from; columns go by name."""
    from pyspark.sql.functions import lit  # pyright: ignore[reportMissingImports]

    frames = [reader(uri(path)).withColumn(FILE, lit(path)) for path in paths]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _csv(session, file: str, dialect: Dialect | None):
    """Read a file of a dialect, with nothing left to be found out."""
    assert dialect is not None, "CSV is read by its dialect"
    return session.read.schema(_text_columns(dialect.columns)).csv(
        file,
        sep=dialect.separator,
        header=dialect.has_header,
        quote=dialect.quote,
        escape=dialect.quote or "\0",
        multiLine=True,
        mode="FAILFAST",
        enforceSchema=True,
    )


def _text_columns(names: Sequence[str]):
    from pyspark.sql import types  # pyright: ignore[reportMissingImports]

    return types.StructType([types.StructField(name, types.StringType()) for name in names])


def _started(builder, master: str | None):
    """Start Spark, with DEFAULTS where spark-submit and its settings say nothing; InputError on what is missing."""
    from py4j.protocol import Py4JError  # pyright: ignore[reportMissingImports]
    from pyspark import SparkConf, SparkContext  # pyright: ignore[reportMissingImports]
    from pyspark.errors import PySparkException  # pyright: ignore[reportMissingImports]

    # Else the workers of a local master would be of the Python that is first on the path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        # Only with Java running are the settings of spark-submit, spark-defaults.conf and PYSPARK_SUBMIT_ARGS known.
        SparkContext._ensure_initialized()
        given = SparkConf()
        settings = {name: value for name, value in DEFAULTS.items() if not given.contains(name)}
        settings |= {"spark.ui.showConsoleProgress": "false"} | ({"spark.master": master} if master else {})
        session = builder.appName("transformers4recsys").config(map=settings).getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        return session
    except (PySparkException, Py4JError) as error:
        if "JAVA_GATEWAY" in str(error):
            raise InputError(f"`engine` spark: Java does not start; {INSTALL}") from error
        raise InputError(
            f"`spark_master` {master or 'of spark-submit'}: {_first_line(error)}; give local[2] or a master's address"
        ) from error


def _view(connection, frame, number: int) -> ir.Table:
    frame.createOrReplaceTempView(f"view_{number}")
    return connection.table(f"view_{number}")


def _without_zone(frame):
    return _cast(frame, [kind.replace("timestamp", "timestamp_ntz") for _, kind in _kinds(frame)])


def _kinds(frame) -> list[tuple[str, str]]:
    return [(field.name, field.dataType.simpleString()) for field in frame.schema.fields]


def _cast(frame, kinds: Sequence[str]):
    """Cast each column to its kind; a null type, of columns without a value, stays."""
    pairs = zip(_kinds(frame), kinds, strict=True)
    return frame.select(
        *(frame[f"`{name}`"].cast(kind if before != "void" else before).alias(name) for (name, before), kind in pairs)
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Say what is wrong with the input; what a task meets comes as Java's error, with causes a line each."""
    from py4j.protocol import Py4JJavaError  # pyright: ignore[reportMissingImports]
    from pyspark.errors import PySparkException  # pyright: ignore[reportMissingImports]

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        causes = re.findall(rf"\[((?:{'|'.join(OF_INPUT)})[^\]]*)\] (.*)", str(error))
        if not causes:
            raise
        hint = next((hint for name, hint in OF_INPUT.items() if causes[-1][0].startswith(name)), "")
        lines = dict.fromkeys((causes[0][1].strip(), causes[-1][1].strip()))
        raise Unreadable(f"a file cannot be read: {' '.join(lines)}{hint}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
