"""The items clicked most: over all days, the last ones, or with a half-life; or among the latest clicks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from transformers4recsys.baselines.protocol import no_scores
from transformers4recsys.baselines.sessions import Sessions
from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class PopularSettings:
    """Baseline popular: the items with most clicks"""

    popular_last_days: int = setting(
        0, "count clicks of the last n days (or hours); 0 of all", at_least=0, if_changed="refuse"
    )
    popular_half_life: float = setting(
        0.0, "days in which the weight of a click halves; 0 never", at_least=0, if_changed="refuse"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.popular_last_days and self.popular_half_life:
            raise InputError("`popular_last_days` and `popular_half_life` exclude each other; choose one")


class Popular:
    """Scores an item by its clicks so far; of `popular_last_days` it keeps the counts of each day apart."""

    def __init__(self, settings: PopularSettings):
        self.settings = settings
        # The counts of each kept day; of all days together where none is forgotten.
        self._days = np.empty(0, dtype=np.int64)
        self._counts_DV = np.empty((0, 0))

    def learn(self, sessions: Sessions, day: int) -> None:
        self._begin(day)
        counts_V = np.bincount(sessions.items, minlength=self._counts_DV.shape[1]).astype(np.float64)
        missing = len(counts_V) - self._counts_DV.shape[1]
        self._counts_DV = np.pad(self._counts_DV, ((0, 0), (0, missing)))
        self._counts_DV[-1] += counts_V

    def _begin(self, day: int) -> None:
        """Make the last row that of `day`, and let go of days that do not count any more."""
        last_days, half_life = self.settings.popular_last_days, self.settings.popular_half_life
        if not len(self._days):
            self._days, self._counts_DV = np.array([day]), np.zeros((1, self._counts_DV.shape[1]))
        elif half_life:
            self._counts_DV *= 0.5 ** ((day - self._days[0]) / half_life)
            self._days = np.array([day])
        elif last_days and day != self._days[-1]:
            is_kept_D = self._days > day - last_days
            self._days = np.append(self._days[is_kept_D], day)
            self._counts_DV = np.pad(self._counts_DV[is_kept_D], ((0, 1), (0, 0)))

    def bias(self, num_items: int) -> np.ndarray:
        return _padded(self._counts_DV.sum(0), num_items)

    def scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return no_scores(sessions)

    def state(self) -> Mapping[str, np.ndarray]:
        return {"days": self._days, "counts": self._counts_DV}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._days, self._counts_DV = state["days"], state["counts"]


@dataclass(frozen=True)
class RecentSettings:
    """Baseline recent: the items with most of the latest clicks (Recently Popular, Moreira 2019)"""

    recent_clicks: int = setting(10_000, "how many of the latest clicks are counted", at_least=1, if_changed="refuse")

    def __post_init__(self) -> None:
        check(self)


class Recent:
    """Scores an item by its share of the latest clicks, in the order of days, and of rows in a day."""

    def __init__(self, settings: RecentSettings):
        self.settings = settings
        self._clicks = np.empty(0, dtype=np.int64)

    def learn(self, sessions: Sessions, day: int) -> None:
        clicks = np.concatenate([self._clicks, sessions.items[-self.settings.recent_clicks :]])
        self._clicks = clicks[-self.settings.recent_clicks :]

    def bias(self, num_items: int) -> np.ndarray:
        return np.bincount(self._clicks, minlength=num_items).astype(np.float64)

    def scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return no_scores(sessions)

    def state(self) -> Mapping[str, np.ndarray]:
        return {"clicks": self._clicks}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._clicks = state["clicks"]


def _padded(values_V: np.ndarray, num_items: int) -> np.ndarray:
    return np.pad(values_V, (0, num_items - len(values_V)))
