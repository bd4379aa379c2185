"""Sessions as baselines read them: item ids, flat, and where each session begins; and ragged rows of such arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Sessions:
    """S sessions: `items` (N,) int64, oldest first, and `offsets` (S+1,)."""

    items: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def session_of(self) -> np.ndarray:
        """The session of each item, (N,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def from_end(self) -> np.ndarray:
        """How many items follow each item in its session, (N,)."""
        return np.repeat(self.offsets[1:], np.diff(self.offsets)) - np.arange(len(self.items)) - 1

    def some(self, first: int, last: int) -> Sessions:
        """Choose the sessions from `first` up to `last`."""
        offsets = self.offsets[first : last + 1]
        return Sessions(self.items[offsets[0] : offsets[-1]], offsets - offsets[0])

    def last_occurrences(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the place of each session's items where they occur last, by session, then item; and their sessions."""
        row_N = self.session_of
        order_N = np.lexsort((self.items, row_N))
        row_N, item_N = row_N[order_N], self.items[order_N]
        is_last_N = np.append((row_N[1:] != row_N[:-1]) | (item_N[1:] != item_N[:-1]), True)[: len(order_N)]
        return order_N[is_last_N], row_N[is_last_N]


def prefixes(items: Tensor, offsets: Tensor, row_P: Tensor, position_P: Tensor) -> Sessions:
    """Give what comes before each of P positions in its session, the sessions being ragged."""
    of_row_P, lengths_P = offsets.cpu().numpy()[row_P.cpu().numpy()], position_P.cpu().numpy()
    places = ragged_places(of_row_P, lengths_P)
    return Sessions(items.cpu().numpy()[places], offsets_of(lengths_P))


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Say where rows of these lengths begin, one behind the other, and where the last one ends."""
    return np.concatenate([np.zeros(1, dtype=np.int64), lengths.cumsum()])


def ragged_places(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Count from each start, so many each, one row behind the other."""
    return np.repeat(starts - offsets_of(lengths)[:-1], lengths) + np.arange(lengths.sum())


def summed_by_key(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the values of equal keys; the keys come out ascending."""
    if not len(keys):
        return keys, values
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    return keys[starts], np.add.reduceat(values[order], starts)
