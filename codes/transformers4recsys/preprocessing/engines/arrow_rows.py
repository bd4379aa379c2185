"""Sorted events, in Arrow, become rows with lists, and sorted rows become the parquet files of their days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, wait
from contextlib import ExitStack
from itertools import chain, groupby, pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformers4recsys.day_format import HISTORY_PREFIX, SPLITS, TRAIN
from transformers4recsys.preprocessing.columns import AT, HALF, LENGTH, ROW
from transformers4recsys.preprocessing.steps.sessions import SESSIONS_A_DAY_MAX

# What DuckDB puts into a row group of the files that it writes.
ROW_GROUP_SIZE = 122_880
# Bytes: columns of many values, for which a dictionary is begun in vain, show this early.
DICTIONARY_SIZE = 1 << 17


def of_whole_rows(stream: pa.RecordBatchReader) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Cut a stream sorted by `_row` between rows; beside each batch, where each of its rows starts, and the end."""
    rest = pa.RecordBatch.from_pylist([], stream.schema)
    for part in stream:
        if not len(part):
            continue
        batch = _concatenated(rest, part)
        numbers = batch[ROW].to_numpy()
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        if len(starts) > 1:
            yield batch, starts
        rest = batch.slice(starts[-1])
    yield _concatenated(rest, rest.slice(0, 0)), np.array([0, len(rest)][: len(rest) + 1])


def with_lists(
    rows: pa.Table, events: pa.RecordBatch, starts: np.ndarray, columns: Sequence[str], history: int
) -> pa.Table:
    """Add the `columns` of events as lists, see `Database.with_lists`; events of a row begin at its place in `starts`.

    With `history`, each row's events are three lists in a row: what is left out, its history, and its own events.
    """
    pieces = {"": 0}
    if history:
        own = starts[1:] - rows[LENGTH].to_numpy()
        bounds = np.stack([starts[:-1], np.maximum(own - history, starts[:-1]), own], axis=1)
        starts, pieces = np.append(bounds, starts[-1]), {"": 2, HISTORY_PREFIX: 1}
    every = 1 + max(pieces.values())
    for name in columns:
        lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), events[name])
        for prefix, first in pieces.items():
            chosen = lists.take(pa.array(np.arange(first, len(lists), every))) if history else lists
            rows = rows.append_column(prefix + name, chosen)
    return rows


def write_days(
    tables: Iterator[pa.Table], files: Mapping[tuple[int, str], Path], names: Mapping[str, str], pool: Executor
) -> None:
    """Write rows sorted by `_row`, see `Database.write_days`; there is a table, if an empty one, and `pool` writes."""
    first = next(tables)
    schema = _named(first, names).schema
    days_without_rows = {day for day, _ in files}
    groups = _ahead(_row_groups(chain([first], tables), SESSIONS_A_DAY_MAX), pool)
    for day, of_day in groupby(groups, key=lambda group: _number(group, SESSIONS_A_DAY_MAX)):
        days_without_rows.remove(day)
        with ExitStack() as opened:
            writers = {split: opened.enter_context(_opened(files[day, split], schema)) for split in SPLITS}
            for group in of_day:
                tasks = [pool.submit(_write_part, writers[split], group, split, names) for split in SPLITS]
                try:
                    for task in tasks:
                        task.result()
                finally:
                    # No file is closed while another task still writes to it, whatever ended the waiting.
                    wait(tasks)
    for day, split in files:
        if day in days_without_rows:
            _opened(files[day, split], schema).close()


def write_parts(
    entries: pa.RecordBatchReader,
    columns: Sequence[str],
    names: Mapping[str, str],
    folder: str,
    *,
    size: int,
    history: int,
) -> Iterator[tuple[int, str, str]]:
    """Write whole parts as files in `folder`; give the number, split and path of each.

    A part has the rows of one `_row // size`, where `size` divides SESSIONS_A_DAY_MAX. Entries go by `_row` and `_at`:
    a row, whose `_at` is null, and then its events.
    """
    for group in _row_groups(_rows_of(entries, columns, history), size):
        schema = _named(group, names).schema
        for split in SPLITS:
            if split in (TRAIN, *pc.unique(group[HALF]).to_pylist()):
                # A task that is run twice writes other files.
                path = f"{folder}/{uuid4().hex}.parquet"
                with _opened(path, schema) as writer:
                    _write_part(writer, group, split, names)
                yield _number(group, size), split, path


def _rows_of(entries: pa.RecordBatchReader, columns: Sequence[str], history: int) -> Iterator[pa.Table]:
    of_rows = [name for name in entries.schema.names if name not in (AT, *columns)]
    for batch, starts in of_whole_rows(entries):
        rows = pa.Table.from_batches([batch.select(of_rows).take(pa.array(starts[:-1]))])
        events = batch.select(columns).filter(batch[AT].is_valid())
        yield with_lists(rows, events, starts - np.arange(len(starts)), columns, history)


def _ahead(tables: Iterator[pa.Table], pool: Executor) -> Iterator[pa.Table]:
    """Let the pool make the next table while one is used."""
    task = pool.submit(next, tables, None)
    while (table := task.result()) is not None:
        task = pool.submit(next, tables, None)
        yield table


def _row_groups(tables: Iterable[pa.Table], apart: int) -> Iterator[pa.Table]:
    """Put tables together and cut them where `_row` divided by `apart` changes, as it does between days."""
    waiting: list[pa.Table] = []
    for table in tables:
        numbers = table[ROW].to_numpy() // apart
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1), len(numbers)]
        for start, end in pairwise(bounds if len(numbers) else []):
            num_waiting = sum(map(len, waiting))
            if waiting and (_number(waiting[0], apart) != numbers[start] or num_waiting + end - start > ROW_GROUP_SIZE):
                yield pa.concat_tables(waiting)
                waiting = []
            waiting.append(table.slice(start, end - start))
    if waiting:
        yield pa.concat_tables(waiting)


def _number(table: pa.Table, apart: int) -> int:
    [first] = table[ROW].slice(0, 1).to_pylist()
    return first // apart


def _opened(path: Path | str, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, dictionary_pagesize_limit=DICTIONARY_SIZE)


def _write_part(writer: pq.ParquetWriter, rows: pa.Table, split: str, names: Mapping[str, str]) -> None:
    part = rows if split == TRAIN else rows.filter(pc.equal(rows[HALF], split))
    if len(part):
        writer.write_table(_named(part, names), ROW_GROUP_SIZE)


def _named(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    return rows.select(list(names)).rename_columns(list(names.values()))


def _concatenated(*batches: pa.RecordBatch) -> pa.RecordBatch:
    # As concat_batches() does, which older versions lack that some engines need.
    table = pa.Table.from_batches(batches)
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)
