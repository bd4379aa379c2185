"""Reads day files with petastorm: a row group comes as one row, each of its columns flat, with the lists' lengths."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from transformers4recsys.data.parquet.columns import is_list
from transformers4recsys.data.parquet.files import open_parquet
from transformers4recsys.data.parquet.row_groups import RowGroup
from transformers4recsys.data.readers.library import Library, Reading, as_column, local_path
from transformers4recsys.errors import InputError

READABLE = (
    pa.types.is_int8,
    pa.types.is_int16,
    pa.types.is_int32,
    pa.types.is_int64,
    pa.types.is_uint8,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_timestamp,
)


def read_tables(
    groups: Sequence[RowGroup], names: Sequence[str], reading: Reading
) -> Iterator[tuple[Sequence[RowGroup], pa.Table]]:
    """Read the row groups of all files in threads or processes; a dummy pool, or no worker, reads here.

    Each worker is a reader of its own with every n-th row group: only one worker gives them in order.
    Columns that any of the files has in a type unknown to petastorm are left out.
    """
    types = {file: _types_of(file, names) for file in dict.fromkeys(group.file for group in groups)}
    readable = [name for name in names if all(_is_readable(of_file[name]) for of_file in types.values())]
    with warnings.catch_warnings(), ExitStack() as stack:
        # It calls parts of pyarrow that are deprecated.
        warnings.simplefilter("ignore")
        pool_type, workers_count = reading.petastorm_reader_pool_type, reading.workers_count
        if not workers_count or pool_type == "dummy":
            pool_type, workers_count = "dummy", 1
        shares = min(workers_count, len(groups)) if readable else 0
        readers = [_open_reader(stack, list(types), readable, pool_type, (each, shares)) for each in range(shares)]
        for turn, group in enumerate(groups):
            columns = _next(readers[turn % shares]) if readable else ()
            yield [group], _unpacked(columns, readable, types[group.file])


def packed(rows: Any, names: Sequence[str]) -> Any:
    """Turn a data frame of R rows into one row: of each column its values (N,), and the lengths (R,) of any lists.

    Petastorm makes a matrix of a list column, which takes lists of one length; one row has but one.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for number, name in enumerate(names):
        values, lengths = rows[name].to_numpy(), np.empty(0, np.int64)
        if values.dtype == object:
            lengths = np.fromiter(map(len, values), np.int64, len(values))
            values = np.concatenate(values) if len(values) else np.empty(0)
        columns[f"values_{number}"], columns[f"lengths_{number}"] = [values], [lengths]
    # A data frame too; pandas itself is imported by petastorm's workers alone.
    return type(rows)(columns)


def _open_reader(
    stack: ExitStack, files: Sequence[str], names: Sequence[str], pool_type: str, share: tuple[int, int]
) -> Iterator[Sequence[np.ndarray]]:
    from petastorm import TransformSpec, make_batch_reader  # pyright: ignore[reportMissingModuleSource]

    # Names of its own: petastorm's must not begin with an underscore, as those of negatives do.
    fields = [f"{part}_{number}" for number in range(len(names)) for part in ("values", "lengths")]
    reader = make_batch_reader(
        [f"file://{local_path(file)}" for file in files],
        schema_fields=[re.escape(name) for name in names],
        reader_pool_type=pool_type,
        workers_count=1,
        shuffle_row_groups=False,
        cur_shard=share[0],
        shard_count=share[1],
        transform_spec=TransformSpec(
            partial(packed, names=names),
            edit_fields=[(field, np.int64, (None,), False) for field in fields],
            removed_fields=list(names),
        ),
    )
    stack.callback(reader.join)
    stack.callback(reader.stop)
    # Unlike a generator, this can be asked once more after it has ended.
    return map(lambda row: [getattr(row, field)[0] for field in fields], reader)


def _next(reader: Iterator[Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Give the next row group, which there is.

    A pool of petastorm 0.13 looks whether all that was begun is done, and then whether all was begun. Where the last
    row group is begun in between, it says that it has ended; asked once more, it waits for that row group.
    """
    columns = next(reader, None) or next(reader, None)
    if columns is None:
        raise InputError("petastorm ended before its last row group; choose `data_loader_engine` pyarrow")
    return columns


def _unpacked(columns: Sequence[np.ndarray], names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    made = {}
    for number, name in enumerate(names):
        values, lengths = columns[2 * number], columns[2 * number + 1]
        offsets = np.concatenate([[0], lengths.cumsum()]) if is_list(types[name]) else None
        made[name] = as_column(values, offsets)
    return pa.table(made)


def _types_of(file: str, names: Sequence[str]) -> dict[str, pa.DataType]:
    columns = open_parquet(file).schema_arrow
    return {name: columns.field(name).type for name in names}


def _is_readable(column_type: pa.DataType) -> bool:
    if pa.types.is_timestamp(column_type) and column_type.tz:
        # It comes as a column of pandas objects; in a list it does not.
        return False
    inner = column_type.value_type if pa.types.is_list(column_type) else column_type
    return any(test(inner) for test in READABLE)


PETASTORM = Library(
    "petastorm",
    read_tables,
    package="petastorm",
    used_settings=("petastorm_reader_pool_type", "workers_count"),
    unreadable_in_paths="[#?;]",
)
