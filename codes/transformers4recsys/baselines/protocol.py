"""What every baseline promises: it learns from days of sessions, and scores the item that follows a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from transformers4recsys.baselines.sessions import Sessions


class Baseline(Protocol):
    """Counts, in memory that does not grow with the number of days; is exact, and the same at any batch size."""

    def learn(self, sessions: Sessions, day: int) -> None:
        """Read some sessions of a day, the earliest first; `day` is its number, which never falls."""
        ...

    def bias(self, num_items: int) -> np.ndarray:
        """Give the score that an item has whatever the session is, (V,) float64."""
        ...

    def scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score the item after each of P sessions beyond the bias: items (N,), values (N,), offsets (P+1,).

        Items of a session are ascending; those left out have the value 0.
        """
        ...

    def state(self) -> Mapping[str, np.ndarray]:
        """Give all that was learned, as arrays by name."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what `state` gave; KeyError where it was another baseline's."""
        ...


def no_scores(sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give no item a score beyond its bias."""
    return np.empty(0, dtype=np.int64), np.empty(0), np.zeros(len(sessions) + 1, dtype=np.int64)
