"""Some items of each row, to leave out of its list or to choose its list from, without a mask of rows by items.

Letters as everywhere, and `X` marks of all rows, `Y` marks of some rows, `R` rows at a time, `S` sessions,
`C` items of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor

from transformers4recsys.metrics.ranking import Ranks

# Targets whose earlier items are looked at together.
ROWS_AT_A_TIME = 4_096


class Marks(Protocol):
    """Marks some items of each row, and gives those of some rows at a time."""

    def of_rows(self, first: int, num_rows: int) -> MarksOfRows: ...


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
class EarlierItems:
    """Marks, for each of P targets, the items that stand before it in its row, each once, but never its own label.

    `items` (S, L) are those of S rows; of each target, (P,), `sessions` names its row, `positions` its place there.
    """

    items: Tensor
    sessions: Tensor
    positions: Tensor
    labels: Tensor

    def of_rows(self, first: int, num_rows: int) -> MarksOfRows:
        rows = slice(first, first + num_rows)
        items_RL, is_earlier_RL = self._earlier(rows)
        is_marked_RL = is_earlier_RL & (items_RL != self.labels[rows, None])
        row_RL = torch.arange(len(items_RL), device=items_RL.device)[:, None].expand_as(items_RL)
        # Sorted by item, then by row.
        numbers_Y = cast("Tensor", torch.unique((items_RL * num_rows + row_RL)[is_marked_RL]))  # pyright: ignore
        return MarksOfRows(numbers_Y % num_rows, numbers_Y // num_rows)

    def hold_label(self) -> Tensor:
        """Say which targets stand in their row a second time, (P,) bool."""
        parts = [slice(first, first + ROWS_AT_A_TIME) for first in range(0, len(self.labels), ROWS_AT_A_TIME)]
        found = [self._earlier(rows) for rows in parts]
        holds = [
            (is_earlier_RL & (items_RL == self.labels[rows, None])).any(1)
            for rows, (items_RL, is_earlier_RL) in zip(parts, found, strict=True)
        ]
        return torch.cat([self.labels.new_zeros(0, dtype=torch.bool), *holds])

    def _earlier(self, rows: slice) -> tuple[Tensor, Tensor]:
        items_RL = self.items[self.sessions[rows]]
        is_earlier_RL = torch.arange(items_RL.shape[1], device=items_RL.device) < self.positions[rows, None]
        return items_RL, is_earlier_RL


@dataclass(frozen=True)
class MarksOfRows:
    """The marks of R rows, by item: `rows` from 0 and `items`, (Y,) each."""

    rows: Tensor
    items: Tensor

    def count_below(self, sign_RC: Tensor, first_item: int) -> None:
        """Set the signs of marked items, which say how they compare with the row's label, to -1, in place."""
        rows, places = self._of_block(sign_RC, first_item)
        sign_RC[rows, places] = -1

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


def ranks_without(marked: Marks, ranks: Ranks, values_V: Tensor, labels_P: Tensor) -> Ranks:
    """Rank the labels again, by one value an item, as if the marked items of each one's row were not there."""
    num_above_P, num_tied_P = ranks.num_above.clone(), ranks.num_tied.clone()
    for first in range(0, len(labels_P), ROWS_AT_A_TIME):
        labels_R = labels_P[first : first + ROWS_AT_A_TIME]
        marks = marked.of_rows(first, len(labels_R))
        more_Y = values_V[marks.items] - values_V[labels_R[marks.rows]]
        for num_P, is_one_less_Y in ((num_above_P, more_Y > 0), (num_tied_P, more_Y == 0)):
            num_P[first : first + len(labels_R)] -= torch.zeros_like(labels_R).index_add_(
                0, marks.rows, is_one_less_Y.to(labels_R.dtype)
            )
    return Ranks(num_above_P, num_tied_P)
