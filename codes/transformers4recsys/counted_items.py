"""What every model knows of its items: how often, and in how many of the training sessions so far, each stood."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class CountsItems(nn.Module):
    """Keeps `item_counts` (V,) with the weights: what was never seen, and what is popular.

    `session_counts` (V,) say how many sessions held each item; that of padding, item 0, is the number of all sessions.
    """

    def __init__(self, num_items: int):
        super().__init__()
        self.item_counts: Tensor
        self.session_counts: Tensor
        self.register_buffer("item_counts", torch.zeros(num_items, dtype=torch.long))
        self.register_buffer("session_counts", torch.zeros(num_items, dtype=torch.long))
        self._has_counted = False

    @property
    def has_counted(self) -> bool:
        """Whether training sessions were counted: until then every label is a miss."""
        return self._has_counted or bool(self.item_counts.any())

    def add_counts(self, item_counts_V: Tensor, session_counts_V: Tensor) -> None:
        """Count items of training sessions, and sessions that held them, (V,) each, which may be none."""
        self.item_counts += item_counts_V.to(self.item_counts.device)
        self.session_counts += session_counts_V.to(self.session_counts.device)
        self._has_counted = True


def sessions_with_items(items_N: np.ndarray, session_N: np.ndarray, num_items: int) -> np.ndarray:
    """Count the sessions that hold each item, (num_items,), and at 0, of padding, all sessions that hold an item.

    `session_N` ascends: the items of a session stand together.
    """
    pairs_N = np.sort(session_N * num_items + items_N)
    pairs_X = pairs_N[np.append(True, pairs_N[1:] != pairs_N[:-1])[: len(pairs_N)]]
    counts_V = np.bincount(pairs_X % num_items, minlength=num_items)
    counts_V[0] = np.count_nonzero(np.diff(session_N, prepend=-1))
    return counts_V
