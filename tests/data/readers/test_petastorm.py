"""Petastorm reads what pyarrow reads: the same batches, whatever the pool, its workers, types and lengths."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from transformers4recsys.data.parquet.row_groups import row_groups
from transformers4recsys.data.readers import petastorm as petastorm_reader
from transformers4recsys.data.readers.library import Reading
from transformers4recsys.schema import Schema


@pytest.fixture
def compare(compare):
    pytest.importorskip("petastorm", reason="needs the package: make engine-petastorm", exc_type=ImportError)
    return compare


@pytest.mark.parametrize("pool_type", ["thread", "dummy"])
@pytest.mark.parametrize("workers_count", [0, 1, 3, 50])
@pytest.mark.parametrize("row_group_size", [None, 7])
def test_batches_are_those_of_pyarrow(compare, ragged, row_group_size, workers_count, pool_type):
    compare(
        "petastorm",
        ragged(60, 0),
        row_group_size=row_group_size,
        workers_count=workers_count,
        petastorm_reader_pool_type=pool_type,
    )


def test_a_pool_that_ends_before_its_last_row_group_is_asked_once_more(compare, ragged, monkeypatch):
    """As one does where the last row group is begun while the pool looks whether it is done."""
    reader = pytest.importorskip("petastorm.reader", exc_type=ImportError).Reader
    rows, turns = reader.__next__, []

    def early(self):
        turns.append(self)
        if len(turns) == 9:
            raise StopIteration
        return rows(self)

    monkeypatch.setattr(reader, "__next__", early)
    compare("petastorm", ragged(60, 0), row_group_size=7, workers_count=1, petastorm_reader_pool_type="thread")
    assert len(turns) > 9


def test_processes_read_the_same(compare, ragged):
    compare("petastorm", ragged(60, 0), row_group_size=20, workers_count=2, petastorm_reader_pool_type="process")


def test_a_first_day_without_any_past_can_be_read(compare, ragged):
    compare("petastorm", ragged(20, 0, has_past=False), row_group_size=7)


def test_a_file_without_rows_can_be_read(compare, ragged):
    compare("petastorm", ragged(5, 0).slice(0, 0))


def test_single_times_with_a_zone_are_left_to_pyarrow(write, monkeypatch):
    """A stand-in reads what it is asked for: petastorm cannot read such a column."""
    times = pa.array([datetime(2019, 10, 1, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC"))
    begins = times.take(pa.array([0, 1]))
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), times)
    path = write(item=[[1, 2], [3]], times=lists, begin=begins, local=begins.cast(pa.timestamp("us")))
    schema = Schema.from_entries({"item": {"dtype": "categorical", "cardinality": 9, "is_label": True}})
    asked = []

    def open_stand_in(_stack, _files, names, _pool_type, _share):
        asked.extend(names)
        return iter([[np.arange(3), np.array([2, 1])] * 2 + [np.arange(2), np.empty(0, np.int64)]])

    monkeypatch.setattr(petastorm_reader, "_open_reader", open_stand_in)
    groups = row_groups([path], schema)
    ((read, table),) = petastorm_reader.read_tables(
        groups, ["item", "times", "begin", "local"], Reading(workers_count=0)
    )
    assert asked == table.column_names == ["item", "times", "local"]
    assert read == groups and table["item"].to_pylist() == [[0, 1], [2]]
