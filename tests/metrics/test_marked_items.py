"""Marks hide the same scores as a mask of rows by items, whatever rows and items are looked at."""

import pytest
import torch

from transformers4recsys.metrics.marked_items import MarkedItems

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
