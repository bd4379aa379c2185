"""Sequential rules: which items follow an item in a session, the nearer the heavier (Ludewig and Jannach 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from transformers4recsys.baselines.pairs import PairWeights
from transformers4recsys.baselines.sessions import Sessions, offsets_of
from transformers4recsys.settings import check, choose, setting

# Of the distance of two clicks, from 1.
WEIGHTINGS: Mapping[str, Callable[[int], float]] = {
    "div": lambda distance: 1 / distance,
    "quadratic": lambda distance: 1 / distance**2,
    "linear": lambda distance: max(0.0, 1 - 0.1 * distance),
    "same": lambda distance: 1.0,
}


@dataclass(frozen=True)
class RulesSettings:
    """Baseline rules: what follows an item, by distance (sequential rules, Ludewig and Jannach 2018)"""

    rules_window: int = setting(10, "how many clicks later an item still counts", at_least=1, if_changed="refuse")
    rules_weighting: str = setting(
        "div", "weight by distance: div is 1 / distance", choices=lambda: WEIGHTINGS, if_changed="refuse"
    )
    rules_per_item: int = setting(
        1_000, "how many rules are kept of an item, the heaviest", at_least=1, if_changed="refuse"
    )

    def __post_init__(self) -> None:
        check(self)


class Rules:
    """Scores an item by the weight with which it followed the session's last item so far."""

    def __init__(self, settings: RulesSettings):
        self.settings = settings
        self._rules = PairWeights(settings.rules_per_item)

    def learn(self, sessions: Sessions, day: int) -> None:
        weigh = choose(WEIGHTINGS, self.settings.rules_weighting, "rules_weighting")
        session_N = sessions.session_of
        longest = int(np.diff(sessions.offsets).max(initial=0))
        for distance in range(1, min(self.settings.rules_window, longest - 1) + 1):
            is_same = session_N[distance:] == session_N[:-distance]
            first, second = sessions.items[:-distance][is_same], sessions.items[distance:][is_same]
            self._rules.add(first, second, np.full(len(first), weigh(distance)))

    def bias(self, num_items: int) -> np.ndarray:
        return np.zeros(num_items)

    def scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return after_last(self._rules, sessions)

    def state(self) -> Mapping[str, np.ndarray]:
        return self._rules.state()

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rules.restore(state)


def after_last(pairs: PairWeights, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score by the pairs that begin with each session's last item; of an empty session there are none."""
    has_item_P = np.diff(sessions.offsets) > 0
    last_items = sessions.items[sessions.offsets[1:][has_item_P] - 1]
    items, weights, offsets = pairs.of_first(last_items)
    lengths_P = np.zeros(len(sessions), dtype=np.int64)
    lengths_P[has_item_P] = np.diff(offsets)
    return items, weights, offsets_of(lengths_P)
