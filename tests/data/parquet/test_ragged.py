"""Rows of ragged columns by hand: selected, truncated, concatenated, and collated to batches."""

from __future__ import annotations

import numpy as np

from transformers4recsys.data.parquet.ragged import RaggedTable, collate, concatenate_tables


def rows_of(*lists: list[int]) -> RaggedTable:
    values = np.array([value for each in lists for value in each], np.int64)
    return RaggedTable(np.cumsum([0, *map(len, lists)]), {"item": values, "price": values / np.float32(10)})


def lists_of(rows: RaggedTable) -> list[list[int]]:
    assert np.array_equal(rows.values["price"], rows.values["item"] / np.float32(10))
    return [each.tolist() for each in np.split(rows.values["item"], rows.offsets[1:-1])]


def test_rows_are_taken_in_any_order():
    rows = rows_of([1, 2], [], [3], [4, 5, 6])
    assert len(rows) == 4
    assert lists_of(rows.take(np.array([3, 0, 0, 1]))) == [[4, 5, 6], [1, 2], [1, 2], []]
    assert len(rows.take(np.array([], np.int64))) == 0


def test_the_last_values_of_rows():
    rows = rows_of([1, 2], [], [3], [4, 5, 6])
    assert lists_of(rows.last(np.array([0, 1, 3]), np.array([1, 0, 2]))) == [[2], [], [5, 6]]


def test_concatenate_tables():
    assert lists_of(concatenate_tables([rows_of([1, 2]), rows_of([]), rows_of([3], [4])])) == [[1, 2], [], [3], [4]]


def test_collate():
    first, second = collate([rows_of([1, 2], [3], [4, 5, 6])], np.array([2, 1]))
    assert [batch.columns["item"].values.tolist() for batch in (first, second)] == [[1, 2, 3], [4, 5, 6]]
    assert [batch.columns["item"].offsets.tolist() for batch in (first, second)] == [[0, 2, 3], [0, 3]]
    assert [batch.columns["item"].max_length for batch in (first, second)] == [2, 3]
