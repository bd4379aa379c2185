"""Mean and standard deviation of a column, gathered part by part without loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """How many values there are, their mean, and the sum of their squared deviations from it."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Take the moments of some numbers, in 64 bits."""
        if not len(values):
            return cls()
        values = values.astype(np.float64)
        mean = float(values.mean())
        return cls(len(values), mean, float(np.square(values - mean).sum()))

    def __add__(self, other: Moments) -> Moments:
        """Join the moments of two parts (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        difference, share = other.mean - self.mean, other.count / count
        squares = self.squares + other.squares + difference**2 * share * self.count
        return Moments(count, self.mean + difference * share, squares)

    @property
    def std(self) -> float:
        """Standard deviation of the values, 0 where there is none."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0
