"""What every model knows of its items: how often each stood in the training sessions so far."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CountsItems(nn.Module):
    """Keeps `item_counts` (V,) with the weights: what was never seen, and what is popular."""

    def __init__(self, num_items: int):
        super().__init__()
        self.item_counts: Tensor
        self.register_buffer("item_counts", torch.zeros(num_items, dtype=torch.long))
        self._has_counted = False

    @property
    def has_counted(self) -> bool:
        """Whether training sessions were counted: until then every label is a miss."""
        return self._has_counted or bool(self.item_counts.any())

    def add_counts(self, counts_V: Tensor) -> None:
        """Count items of training sessions, (V,), which may be none."""
        self.item_counts += counts_V.to(self.item_counts.device)
        self._has_counted = True
