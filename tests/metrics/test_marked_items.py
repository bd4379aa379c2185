"""Marks hide the same scores as a mask of rows by items, whatever rows and items are looked at."""

import pytest
import torch

from transformers4recsys.metrics import marked_items
from transformers4recsys.metrics.marked_items import EarlierItems, MarkedItems, ranks_without
from transformers4recsys.metrics.ranking import PopularityRanks, rank_bounds

LISTS = [[5, 2, 2], [], [9, 1], [4]]


def mask():
    """Whether each row, (4, 10), marks each item."""
    marked = torch.zeros(4, 10, dtype=torch.bool)
    for row, items in enumerate(LISTS):
        marked[row, items] = True
    return marked


@pytest.mark.parametrize("rows", [(0, 4), (1, 2), (3, 1)])
@pytest.mark.parametrize("items", [(1, 10), (2, 5), (6, 9)])
def test_marks_hide_what_a_mask_hides(rows, items):
    (first, num_rows), (first_item, end) = rows, items
    scores = torch.arange(1.0, 1 + num_rows * (end - first_item)).reshape(num_rows, -1)
    marked = mask()[first : first + num_rows, first_item:end]
    marks = MarkedItems.from_lists(LISTS).of_rows(first, num_rows)
    excluded, kept = scores.clone(), scores.clone()
    marks.exclude(excluded, first_item)
    marks.keep_only(kept, first_item)
    assert torch.equal(excluded, scores.masked_fill(marked, -torch.inf))
    assert torch.equal(kept, scores.masked_fill(~marked, -torch.inf))


def earlier_items():
    """Five targets of three sessions; the third and the last stand in their session already."""
    items = torch.tensor([[3, 7, 3, 9, 3], [4, 5, 0, 0, 0], [6, 6, 8, 6, 0]])
    sessions, positions = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([1, 3, 4, 1, 3])
    return EarlierItems(items, sessions, positions, items[sessions, positions])


def test_earlier_items_are_those_before_the_target_but_its_own():
    expected = [{3}, {3, 7}, {7, 9}, {4}, {8}]
    for first, num_rows in ((0, 5), (1, 2), (4, 1)):
        marks = earlier_items().of_rows(first, num_rows)
        pairs = list(zip(marks.rows.tolist(), marks.items.tolist(), strict=True))
        assert sorted(pairs) == [(row, item) for row in range(num_rows) for item in sorted(expected[first + row])]
        assert marks.items.tolist() == sorted(marks.items.tolist())
    assert earlier_items().hold_label().tolist() == [False, False, True, False, True]


def test_targets_of_no_session():
    none = torch.zeros(0, dtype=torch.long)
    earlier = EarlierItems(torch.tensor([[1, 2]]), none, none, none)
    assert len(earlier.hold_label()) == len(earlier.of_rows(0, 0).rows) == 0


@pytest.mark.parametrize("rows_at_a_time", [2, 100])
def test_popularity_without_the_items_of_a_session(rows_at_a_time, monkeypatch):
    monkeypatch.setattr(marked_items, "ROWS_AT_A_TIME", rows_at_a_time)
    counts, earlier = torch.tensor([0, 0, 1, 5, 5, 5, 2, 9, 5, 2, 0, 0]), earlier_items()
    scores = counts.repeat(5, 1).float()
    marks = earlier.of_rows(0, 5)
    scores[marks.rows, marks.items] = -torch.inf
    expected = rank_bounds(scores, earlier.labels)
    found = ranks_without(earlier, PopularityRanks(counts).of(earlier.labels), counts, earlier.labels)
    assert found.num_above.tolist() == expected.num_above.tolist()
    assert found.num_tied.tolist() == expected.num_tied.tolist()
    assert found.num_above.tolist() != PopularityRanks(counts).of(earlier.labels).num_above.tolist()
