"""What the steps hand on: targets, encodings, predictions, and numbers of a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Which positions predict an item, on the CPU: `is_target` (B, L) bool, and `item_ids` (B, L), 0 elsewhere.

    `order` (B, L), where targets are predicted one after the other: 1, 2, ... for targets, 0 for what all of them see.
    """

    is_target: Tensor
    item_ids: Tensor
    order: Tensor | None = None


@dataclass(frozen=True)
class Encoded:
    """An encoder's answer: `hidden` (B, L, D); `attentions`, (B, H, L, L) a layer, or None."""

    hidden: Tensor
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class SparseScores:
    """P rows of scores for few items each: row p gives `values` to `items[offsets[p]:offsets[p + 1]]`, by ascending id.

    A score is the item's bias, which is the same in all rows, plus its value, 0 where a row does not have the item.
    """

    items: Tensor  # (N,)
    values: Tensor  # (N,)
    offsets: Tensor  # (P+1,)

    @classmethod
    def of_none(cls, num_rows: int, device: torch.device | str = "cpu") -> SparseScores:
        """Make rows in which every item scores its bias."""
        nothing = torch.empty(0, dtype=torch.long, device=device)
        return cls(nothing, nothing.double(), nothing.new_zeros(num_rows + 1))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: slice) -> SparseScores:
        """Choose some rows next to each other."""
        start, stop, _ = rows.indices(len(self))
        first, last = int(self.offsets[start]), int(self.offsets[max(start, stop)])
        return SparseScores(
            self.items[first:last], self.values[first:last], self.offsets[start : max(start, stop) + 1] - first
        )

    @property
    def row_of(self) -> Tensor:
        """The row of each item, (N,)."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.offsets.device), self.offsets.diff())


@dataclass(frozen=True)
class ModelOutput:
    """The loss of a batch and what its P predicted positions need to be scored."""

    loss: Tensor | None  # None in evaluation
    # (P, E): multiplied with the item table, gives the scores; of a baseline, which has no table, the scores themselves
    hidden: Tensor | SparseScores
    labels: Tensor  # (P,)
    positions: Tensor  # (P, 2): row in the batch, position of the label in its own session from 0
    inputs: Tensor  # (B, L), on the CPU: the item ids of the sessions, 0 where padded
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Predictions:
    """P predictions as they are logged; K recommended items each, best first."""

    labels: Tensor  # (P,)
    item_ids: Tensor  # (P, K)
    scores: Tensor  # (P, K)
    positions: Tensor  # (P,): position of the label in its session, from 0
    lengths: Tensor  # (P,): items of that session
    metrics: Mapping[str, Tensor]  # (P,) each
    metadata: Mapping[str, Tensor]  # (P,) each: the label's own value of each metadata column


@dataclass(frozen=True)
class Report:
    """Numbers of one day, named as its files are: `split` is train or eval; None where there are no data."""

    day: str
    split: str
    numbers: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
