"""Ragged columns: padding, joining, and the past in front of the current session."""

from __future__ import annotations

import pytest
import torch

from transformers4recsys.batch import IS_PAST, Batch, Jagged, concatenated, with_past
from transformers4recsys.schema import Schema

SESSIONS = [[1, 2, 3], [], [4], [5, 6]]


def lists(column: Jagged) -> list[list]:
    return [part.tolist() for part in column.values.split(column.lengths.tolist())]


def test_from_lists_keeps_values_offsets_and_the_longest():
    column = Jagged.from_lists(SESSIONS)
    assert column.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert column.offsets.tolist() == [0, 3, 3, 4, 6]
    assert column.lengths.tolist() == [3, 0, 1, 2] and column.max_length == 3


def test_padded_fills_with_zero_on_the_right():
    assert Jagged.from_lists(SESSIONS).padded(3).tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0], [5, 6, 0]]
    assert Jagged.from_lists(SESSIONS).padded(4)[0].tolist() == [1, 2, 3, 0]


def test_the_last_values_are_left_out_of_all_but_single_ones():
    batch = Batch({"item": Jagged.from_lists(SESSIONS), "other": Jagged.from_lists([[1]])})
    shorter = batch.without_last(["item"])
    assert list(shorter.columns) == ["item"]
    assert lists(shorter.columns["item"]) == [[1, 2], [], [4], [5]]
    assert shorter.columns["item"].max_length == 2
    for sessions, longest in (([[3], [4]], 1), ([[]], 0)):
        column = Batch({"item": Jagged.from_lists(sessions)}).without_last(["item"]).columns["item"]
        assert lists(column) == sessions and column.max_length == longest


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_padded_keeps_the_type(dtype: torch.dtype):
    assert Jagged.from_lists([[1], [0, 1]], dtype).padded(2).dtype == dtype


def test_values_are_distinguished_from_padding():
    assert Jagged.from_lists([[0, 0], [], [0]]).is_not_padding(2).tolist() == [
        [True, True],
        [False, False],
        [True, False],
    ]


def test_batch_knows_its_size_and_its_longest_column():
    batch = Batch({"item": Jagged.from_lists([[1], [2, 3]]), "past": Jagged.from_lists([[1, 2, 3, 4], []])})
    assert len(batch) == 2 and batch.max_length == 4
    assert batch.padded("item", 2).tolist() == [[1, 0], [2, 3]]


def test_a_batch_moves_with_all_its_columns():
    moved = Batch({"item": Jagged.from_lists([[1], [2, 3]])}).to("meta")
    column = moved.columns["item"]
    assert column.values.device.type == column.offsets.device.type == "meta" and column.max_length == 2


@pytest.mark.parametrize("second", [[[7], [8, 9], [], [10]], [[], [], [], []], [[7, 7, 7]] * 4])
def test_concatenated_puts_each_session_behind_the_same_of_the_first(second: list[list[int]]):
    together = concatenated(Jagged.from_lists(SESSIONS, torch.int64), Jagged.from_lists(second, torch.int64))
    assert lists(together) == [first + behind for first, behind in zip(SESSIONS, second, strict=True)]
    assert together.max_length == max(len(session) for session in lists(together))


def test_with_past_puts_the_past_in_front_and_marks_it():
    schema = Schema.from_entries(
        {
            "item": {"dtype": "categorical", "cardinality": 99, "is_label": True},
            "price": {"dtype": "float"},
            "hour": {"dtype": "float"},
            "bef_item": {"dtype": "categorical", "cardinality": 99},
            "bef_price": {"dtype": "float"},
        },
        past_prefix="bef_",
    )
    columns = {
        "item": [[1, 2], [3]],
        "price": [[0.25, 0.5], [0.75]],
        "hour": [[8.0, 9.0], [10.0]],
        "bef_item": [[], [4, 5]],
        "bef_price": [[], [1.5, 2.5]],
    }
    batch = with_past(Batch({name: Jagged.from_lists(rows) for name, rows in columns.items()}), schema)
    assert {name: lists(column) for name, column in batch.columns.items()} == {
        "item": [[1, 2], [4, 5, 3]],
        "price": [[0.25, 0.5], [1.5, 2.5, 0.75]],
        "hour": [[8.0, 9.0], [0.0, 0.0, 10.0]],
        IS_PAST: [[False, False], [True, True, False]],
    }
    assert batch.max_length == 3
