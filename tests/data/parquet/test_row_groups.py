"""What row groups say of themselves before they are read, and how they are read in slices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.data.parquet import row_groups as row_groups_module
from transformers4recsys.data.parquet.row_groups import row_groups
from transformers4recsys.schema import Schema

ID = {"dtype": "categorical", "cardinality": 100}
SCHEMA = Schema.from_entries(
    {"item": ID | {"is_label": True}, "price": {"dtype": "float"}, "user": ID, "bef_item": ID, "_neg_item": ID},
    past_prefix="bef_",
)
COLUMNS = {
    "item": [[1, 2, 3], [4], [], [5, 6]],
    "price": [[0.1, 0.2, 0.3], [0.4], [], [0.5, 0.6]],
    "user": [7, 8, 9, 10],
    "bef_item": [[1], [2], [], [3, 4]],
    "_neg_item": [[1, 2, 3, 4, 5, 6], [7], [], [8, 9]],
}


def test_bytes_of_rows_by_hand(write):
    first, second = row_groups([write(row_group_size=2, **COLUMNS)], SCHEMA)
    # 2 rows with three lists: 48 for offsets; items and users 8 each, prices 4; past 8; negatives 8.
    assert first.num_bytes == 48 + 4 * (8 + 8 + 4) + 2 * 8 + 7 * 8
    # An empty list counts as one value.
    assert second.num_bytes == 48 + 3 * (8 + 8 + 4) + 3 * 8 + 3 * 8
    assert (first.num_rows, first.number, second.number) == (2, 0, 1)


@pytest.mark.parametrize("make", [pa.list_, pa.large_list, lambda of: pa.list_(of, 2)])
def test_bytes_of_each_kind_of_list(write, make):
    schema = Schema.from_entries({"item": ID | {"is_label": True}})
    lists = pa.array([[1, 2], [3, 4]], make(pa.int32()))
    # Columns whose names begin or end like the one that is read do not matter.
    path = write(item_id=[[1] * 9] * 2, item=lists, old_item=[1, 2])
    assert [group.num_bytes for group in row_groups([path], schema)] == [2 * 8 + 4 * 8]


def test_sessions_of_two_or_more_items_are_counted(write):
    groups = row_groups([write(row_group_size=2, **COLUMNS), write("other.parquet", **COLUMNS)], SCHEMA)
    assert [group.count_sessions("item") for group in groups] == [1, 1, 2]


def test_slices_are_the_row_group(write):
    rows = [[row] * (row % 7) for row in range(1000)]
    _, group = row_groups(
        [write(item=rows * 2, row_group_size=1000)], Schema.from_entries({"item": ID | {"is_label": True}})
    )
    slices = list(group.read_slices(["item"], 300))
    assert [len(each) for each in slices] == [300, 300, 300, 100]
    assert pa.Table.from_batches(slices)["item"].to_pylist() == rows == group.read(["item"])["item"].to_pylist()


def test_bytes_are_never_fewer_than_what_is_read(write):
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 9, 500)
    items = [draw.integers(1, 9, length).tolist() for length in lengths]
    (group,) = row_groups([write(item=items)], Schema.from_entries({"item": ID | {"is_label": True}}))
    assert lengths.sum() * 8 + 8 * 500 <= group.num_bytes == np.maximum(lengths, 1).sum() * 8 + 8 * 500


def test_slices_of_a_large_row_group_take_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(row_groups_module, "BUFFER_SIZE", 1 << 16)
    path, ids = str(tmp_path / "large.parquet"), np.random.default_rng(0).integers(1, 2**60, 1_600_000)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, len(ids) + 1, 2), pa.int32()), pa.array(ids))
    pq.write_table(pa.table({"item": lists}), path, use_dictionary=False)
    (group,) = row_groups([path], Schema.from_entries({"item": ID | {"is_label": True}}))
    assert group.num_bytes > 12_000_000
    del lists
    before = pa.total_allocated_bytes()
    taken = [pa.total_allocated_bytes() - before for _ in group.read_slices(["item"], 2_000)]
    assert len(taken) == 400 and max(taken) < 6_000_000
