"""Some items of each row, to leave out of its list or to choose its list from, without a mask of rows by items.

Letters as everywhere, and `X` marks of all rows, `Y` marks of some rows, `R` rows at a time, `C` items of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MarkedItems:
    """Marks row after row: `items` (X,), ids from 1, and `offsets` (P+1,), where the marks of each row begin."""

    items: Tensor
    offsets: Tensor

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> MarkedItems:
        """Mark the items of a list a row."""
        lengths = torch.tensor([0, *map(len, lists)])
        items = torch.tensor([item for row in lists for item in row], dtype=torch.long)
        return cls(items.to(device), lengths.cumsum(0).to(device))

    def of_rows(self, first: int, num_rows: int) -> MarksOfRows:
        """Choose the marks of some rows, and sort them by item."""
        offsets = self.offsets[first : first + num_rows + 1]
        start, stop = offsets[0], offsets[-1]
        row_Y = torch.repeat_interleave(torch.arange(num_rows, device=offsets.device), offsets.diff())
        item_Y, order_Y = self.items[start:stop].sort()
        return MarksOfRows(row_Y[order_Y], item_Y)


@dataclass(frozen=True)
class MarksOfRows:
    """The marks of R rows, by item: `rows` from 0 and `items`, (Y,) each."""

    rows: Tensor
    items: Tensor

    def exclude(self, scores_RC: Tensor, first_item: int) -> None:
        """Set the scores of marked items to -inf, in place; the block begins with `first_item`."""
        rows, places = self._of_block(scores_RC, first_item)
        scores_RC[rows, places] = -torch.inf

    def keep_only(self, scores_RC: Tensor, first_item: int) -> None:
        """Set the scores of all items but the marked ones to -inf, in place."""
        rows, places = self._of_block(scores_RC, first_item)
        kept = scores_RC[rows, places]
        scores_RC.fill_(-torch.inf)
        scores_RC[rows, places] = kept

    def _of_block(self, scores_RC: Tensor, first_item: int) -> tuple[Tensor, Tensor]:
        ends = self.items.new_tensor([first_item, first_item + scores_RC.shape[1]])
        start, stop = torch.searchsorted(self.items, ends)
        return self.rows[start:stop], self.items[start:stop] - first_item
