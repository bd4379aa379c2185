"""Small parquet files that the data tests share, and the batches that every reader must make of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.batch import Batch
from transformers4recsys.data.readers import READERS
from transformers4recsys.data.readers.library import Reading
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.schema import Schema

SCHEMA = Schema.from_entries(
    {
        "item": {"dtype": "categorical", "cardinality": 10_000, "is_label": True},
        "brand": {"dtype": "categorical", "cardinality": 100},
        "price": {"dtype": "float"},
        "weight": {"dtype": "float"},
        "time": {"dtype": "timestamp"},
        "begin": {"dtype": "timestamp"},
        "shop": {"dtype": "categorical", "cardinality": 200},
        "user": {"dtype": "long", "is_control": True},
        "bef_item": {"dtype": "categorical", "cardinality": 10_000},
        "bef_price": {"dtype": "float"},
        "_neg_item": {"dtype": "categorical", "cardinality": 10_000},
    },
    past_prefix="bef_",
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write columns (lists, or arrow arrays for a certain type) to a parquet file and give its path."""

    def write_file(name: str = "file.parquet", *, row_group_size: int | None = None, **columns: object) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
        return str(path)

    return write_file


def ragged_table(num_rows: int, seed: int, *, has_past: bool = True) -> pa.Table:
    """Sessions of 0 to 9 items in columns of many types: numbers, times, single values, a dictionary."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 10, num_rows)
    past_lengths = draw.integers(0, 7, num_rows) * has_past

    def lists(of_type: pa.DataType, sizes: np.ndarray, least: int, most: int) -> pa.Array:
        return pa.array([draw.integers(least, most, size).tolist() for size in sizes], pa.list_(of_type))

    def floats(of_type: pa.DataType, sizes: np.ndarray) -> pa.Array:
        return pa.array([draw.random(size).astype(np.float32).tolist() for size in sizes], pa.list_(of_type))

    big = 2**53 + 1
    columns = {
        "item": lists(pa.int64(), lengths, 1, 10_000),
        "brand": lists(pa.int8(), lengths, 0, 100),
        "price": floats(pa.float32(), lengths),
        "weight": floats(pa.float64(), lengths),
        "time": lists(pa.timestamp("us", "UTC"), lengths, big, big + 1000),
        "begin": pa.array([datetime(2200, 1, 1)] * num_rows, pa.timestamp("ms")),
        "shop": pa.array(draw.integers(0, 200, num_rows), pa.int32()).dictionary_encode(),
        "user": pa.array([big + row for row in range(num_rows)], pa.uint64()),
        "bef_item": lists(pa.int64(), past_lengths, 1, 10_000),
        "bef_price": floats(pa.float32(), past_lengths),
        "_neg_item": lists(pa.int32(), 2 * lengths, 1, 10_000),
    }
    return pa.table(columns)


def as_lists(batches: Iterable[Batch]) -> list[dict[str, tuple]]:
    return [
        {
            name: (str(column.values.dtype), column.values.tolist(), column.offsets.tolist(), column.max_length)
            for name, column in batch.columns.items()
        }
        for batch in batches
    ]


def items_of(reader: Reader) -> list[list[int]]:
    columns = [batch.columns["item"] for batch in reader.batches(0)]
    return [part.tolist() for column in columns for part in column.values.split(column.lengths.tolist())]


@pytest.fixture
def compare(write: Callable[..., str]) -> Callable[..., None]:
    """Compare a reader's batches with those of pyarrow, also of two ranks and shuffled, and with the files.

    The first file holds `first`, the second one 25 sessions; its name comes earlier in the alphabet.
    """

    def compare_batches(name: str, first: pa.Table, *, row_group_size: int | None = None, **reading: Any) -> None:
        tables = {"b=1, c.parquet": first, "a.parquet": ragged_table(25, seed=2)}
        files = [
            write(file, row_group_size=row_group_size, **dict(zip(table.column_names, table.columns, strict=True)))
            for file, table in tables.items()
        ]
        settings: dict[str, Any] = {"schema": SCHEMA, "batch_size": 4, "day": datetime(2019, 10, 1), "seed": 3}
        settings |= {"session_length_max": 5, "past_length_max": 3}
        for more in ({}, *({"rank": rank, "world_size": 2, "shuffle": True} for rank in (0, 1))):
            reader = DayReader(files, library=READERS[name], reading=Reading(**reading), **settings, **more)
            expected = DayReader(files, **settings, **more)
            assert (len(reader), reader.num_rows) == (len(expected), expected.num_rows)
            for epoch in (0, 1):
                assert as_lists(reader.batches(epoch)) == as_lists(expected.batches(epoch))
            if not more:
                assert items_of(reader) == [
                    items[-5:] for table in tables.values() for items in table["item"].to_pylist() if len(items) > 1
                ]

    return compare_batches


@pytest.fixture
def ragged() -> Callable[..., pa.Table]:
    return ragged_table
