import numpy as np
import pytest
import torch

from transformers4recsys.counted_items import CountsItems, sessions_with_items


def test_counts_are_summed_and_part_of_the_weights():
    model, other = CountsItems(4), CountsItems(4)
    assert not model.has_counted
    model.add_counts(torch.tensor([0, 2, 0, 1]), torch.tensor([2, 1, 0, 1]))
    model.add_counts(torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 0, 0]))
    assert model.has_counted and model.item_counts.tolist() == [0, 3, 0, 1]
    other.load_state_dict(model.state_dict())
    assert other.has_counted and other.item_counts.tolist() == [0, 3, 0, 1]
    assert other.session_counts.tolist() == [3, 2, 0, 1]


def test_a_day_without_items_is_counted_too():
    model = CountsItems(4)
    nothing = torch.zeros(4, dtype=torch.long)
    model.add_counts(nothing, nothing)
    assert model.has_counted


@pytest.mark.parametrize("num_sessions", [0, 1, 40])
def test_sessions_that_hold_an_item(num_sessions):
    rng = np.random.default_rng(num_sessions)
    sessions = [rng.integers(1, 9, size=rng.integers(1, 6)).tolist() for _ in range(num_sessions)]
    items = np.array([item for session in sessions for item in session], dtype=np.int64)
    session_of = np.repeat(np.arange(num_sessions), [len(session) for session in sessions])
    expected = [num_sessions, *(sum(item in session for session in sessions) for item in range(1, 9))]
    assert sessions_with_items(items, session_of, 9).tolist() == expected
