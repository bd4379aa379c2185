"""Weights of pairs of items, summed up over days: what stands behind rules and item neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from transformers4recsys.baselines.sessions import offsets_of, ragged_places, summed_by_key

# A pair is one number, its first item in the upper half, so that sorted pairs are sorted by first, then second item.
ITEM_BITS = 32
# New pairs wait until there are so many, or as many as there are sums.
PAIRS_AT_A_TIME = 2**22


class PairWeights:
    """Sums the weights of pairs (first, second), and keeps the `max_per_item` heaviest of each first item."""

    def __init__(self, max_per_item: int):
        self._max_per_item = max_per_item
        self._pairs, self._weights = np.empty(0, dtype=np.int64), np.empty(0)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> None:
        """Add X pairs, (X,) each."""
        self._waiting.append(summed_by_key((first << ITEM_BITS) + second, weights))
        if sum(len(pairs) for pairs, _ in self._waiting) > max(PAIRS_AT_A_TIME, len(self._pairs)):
            self._sum_up()

    def of_first(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the pairs that begin with each of P items: second items (N,), ascending, weights (N,), and offsets."""
        self._sum_up()
        starts = np.searchsorted(self._pairs, items << ITEM_BITS)
        lengths = np.searchsorted(self._pairs, (items + 1) << ITEM_BITS) - starts
        places = ragged_places(starts, lengths)
        return self._pairs[places] & (2**ITEM_BITS - 1), self._weights[places], offsets_of(lengths)

    def state(self) -> Mapping[str, np.ndarray]:
        self._sum_up()
        return {"pairs": self._pairs, "weights": self._weights}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._pairs, self._weights, self._waiting = state["pairs"], state["weights"], []

    def _sum_up(self) -> None:
        if not self._waiting:
            return
        parts = [(self._pairs, self._weights), *self._waiting]
        pairs, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
        pairs, weights = summed_by_key(pairs, weights)
        is_kept = heaviest(pairs >> ITEM_BITS, weights, self._max_per_item)
        self._pairs, self._weights, self._waiting = pairs[is_kept], weights[is_kept], []


def heaviest(group: np.ndarray, weights: np.ndarray, number: int) -> np.ndarray:
    """Mark the `number` largest weights of each group, (X,) bool; of equal ones the first. Groups are ascending."""
    if not len(group) or np.bincount(group).max() <= number:
        return np.ones(len(group), dtype=bool)
    order = np.lexsort((-weights, group))
    starts = np.searchsorted(group, group[order])
    is_kept = np.zeros(len(group), dtype=bool)
    is_kept[order[np.arange(len(order)) - starts < number]] = True
    return is_kept
