"""What a difference between two runs is worth: intervals by resampling, tests by flipping signs, Holm's correction.

A difference is paired: the same sessions of the same days, one run less the other. Its value is the mean over days of
each day's mean over targets, as results are reported. Rank tests (Wilcoxon, sign test) are left out: at the number of
sessions of a log they call differences of no size significant (Ihemelandu and Ekstrand, Inference at Scale, 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Fewer days say little of other days: their sessions are looked at instead.
FEWEST_DAYS = 6
# Up to so many days all assignments of signs are tried; beyond, so many are drawn.
DAYS_TRIED_WHOLE, DRAWN_SIGNS = 13, 20_000
# The mean of more sessions than these is normal to within what resampling itself varies.
MANY_SESSIONS = 1_000


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class DayPairs:
    """Sessions of one day that both runs predicted: `differences` (S,) are sums over the `targets` (S,) of each."""

    differences: Floats
    targets: Floats

    @property
    def mean(self) -> float:
        """The difference of the day: its mean over targets."""
        return float(self.differences.sum() / self.targets.sum())

    @property
    def shares(self) -> Floats:
        """What each session adds to the day's mean, (S,)."""
        return self.differences / self.targets.sum()


def interval_over_days(
    differences_D: Sequence[float], rng: np.random.Generator, *, confidence: float = 0.95, samples: int = 10_000
) -> Interval:
    """Say where the mean would lie over other days of the same kind: whole days are resampled.

    Percentiles are widened for the number of days (Hesterberg, What Teachers Should Know About the Bootstrap, 2015,
    section 5.3): plain ones are too narrow where there are few.
    """
    values_D = np.asarray(differences_D, dtype=float)
    draws = rng.integers(len(values_D), size=(samples, len(values_D)))
    return _percentiles(values_D[draws].mean(1), _widened_tail(confidence, len(values_D)))


def interval_over_sessions(
    days: Sequence[DayPairs], rng: np.random.Generator, *, confidence: float = 0.95, samples: int = 2_000
) -> Interval:
    """Say where the mean would lie over other sessions of the same days: sessions are resampled within their day."""
    means = sum((_resampled_means(day, rng, samples) for day in days), np.zeros(samples)) / len(days)
    return _percentiles(means, (1 - confidence) / 2)


def p_over_days(differences_D: Sequence[float], rng: np.random.Generator) -> float:
    """Test that the runs are the same, two-sided, by flipping the sign of whole days.

    No p-value is below 2 / 2^D, as the two assignments that flip none or all always count.
    """
    values_D = np.asarray(differences_D, dtype=float)
    if len(values_D) <= DAYS_TRIED_WHOLE:
        return float(np.mean(_is_as_far(_all_signs(len(values_D)) @ values_D, values_D.sum())))
    signs = rng.choice((-1.0, 1.0), size=(DRAWN_SIGNS, len(values_D)))
    return _share_of_draws(signs @ values_D, values_D.sum())


def p_over_sessions(days: Sequence[DayPairs], rng: np.random.Generator, *, samples: int = 10_000) -> float:
    """Test the same by flipping the sign of sessions; the sum of very many is taken as normal."""
    shares_S = np.concatenate([day.shares for day in days])
    if len(shares_S) > MANY_SESSIONS:
        spread = math.sqrt(float(np.square(shares_S).sum()))
        return 2 * NormalDist().cdf(-abs(float(shares_S.sum())) / spread) if spread else 1.0
    signs = rng.choice((-1.0, 1.0), size=(samples, len(shares_S)))
    return _share_of_draws(signs @ shares_S, shares_S.sum())


def effect_size(days: Sequence[DayPairs]) -> float | None:
    """Give the mean difference of a session in standard deviations of such differences (Cohen's d of pairs)."""
    values_S = np.concatenate([day.differences / day.targets for day in days])
    spread = float(values_S.std(ddof=1)) if len(values_S) > 1 else 0.0
    return float(values_S.mean()) / spread if spread else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, in their order (Holm, 1979): any false alarm is as rare as one test's."""
    corrected = [0.0] * len(p_values)
    least = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = least
    return corrected


def _resampled_means(day: DayPairs, rng: np.random.Generator, samples: int) -> Floats:
    num_sessions = len(day.targets)
    if num_sessions > MANY_SESSIONS:
        residuals_S = day.differences - day.mean * day.targets
        return rng.normal(day.mean, math.sqrt(float(np.square(residuals_S).sum())) / day.targets.sum(), samples)
    draws = rng.integers(num_sessions, size=(samples, num_sessions))
    return day.differences[draws].sum(1) / day.targets[draws].sum(1)


@cache
def _all_signs(number: int) -> Floats:
    return np.array(list(product((-1.0, 1.0), repeat=number)))


def _widened_tail(confidence: float, number: int) -> float:
    """Give the share to cut off on each side, so that the normal case has the width of Student's interval."""
    t = _student_quantile((1 + confidence) / 2, number - 1)
    return NormalDist().cdf(-math.sqrt(number / (number - 1)) * t)


def _student_quantile(share: float, freedom: int) -> float:
    """Expand Student's quantile from the normal one (Abramowitz and Stegun, 26.7.5): to .003 from five degrees on."""
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _percentiles(values: Floats, tail: float) -> Interval:
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _is_as_far(sums: Floats, observed: float) -> NDArray[np.bool_]:
    # Sums of the same numbers in another order may round apart.
    return np.abs(sums) >= abs(observed) * (1 - 1e-12)


def _share_of_draws(sums: Floats, observed: float) -> float:
    return float((1 + _is_as_far(sums, observed).sum()) / (1 + len(sums)))
