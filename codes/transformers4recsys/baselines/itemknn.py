"""Item neighbours: what stands in the same sessions as the last item (item-KNN of Hidasi 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from transformers4recsys.baselines.pairs import PairWeights, heaviest
from transformers4recsys.baselines.rules import after_last
from transformers4recsys.baselines.sessions import Sessions, offsets_of
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class ItemKnnSettings:
    """Baseline itemknn: neighbours of the last item (Hidasi 2016)"""

    itemknn_neighbours: int = setting(
        100, "items that are scored, those most similar to the last one", at_least=1, if_changed="refuse"
    )
    itemknn_regularization: float = setting(
        20.0, "added to an item's clicks: rare items are less similar", at_least=0, if_changed="refuse"
    )
    itemknn_alpha: float = setting(
        0.5, "0.5 is the cosine, 1 the share of the last item's clicks", at_least=0, at_most=1, if_changed="refuse"
    )
    itemknn_per_item: int = setting(
        1_000, "how many items met in sessions are kept of an item", at_least=1, if_changed="refuse"
    )

    def __post_init__(self) -> None:
        check(self)


class ItemKnn:
    """Scores an item by pairs of its clicks and the last item's in one session, over a mean of their clicks."""

    def __init__(self, settings: ItemKnnSettings):
        self.settings = settings
        self._pairs = PairWeights(settings.itemknn_per_item)
        self._clicks_V = np.empty(0, dtype=np.int64)

    def learn(self, sessions: Sessions, day: int) -> None:
        num_items = max(len(self._clicks_V), int(sessions.items.max(initial=0)) + 1)
        self._clicks_V = np.pad(self._clicks_V, (0, num_items - len(self._clicks_V)))
        self._clicks_V += np.bincount(sessions.items, minlength=num_items)
        session_N = sessions.session_of
        for distance in range(1, int(np.diff(sessions.offsets).max(initial=0))):
            first, second = sessions.items[:-distance], sessions.items[distance:]
            is_pair = (session_N[distance:] == session_N[:-distance]) & (first != second)
            first, second = first[is_pair], second[is_pair]
            for one, other in ((first, second), (second, first)):
                self._pairs.add(one, other, np.ones(len(first)))

    def bias(self, num_items: int) -> np.ndarray:
        return np.zeros(num_items)

    def scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        items_N, together_N, offsets = after_last(self._pairs, sessions)
        row_N = np.repeat(np.arange(len(sessions)), np.diff(offsets))
        last_N = sessions.items[sessions.offsets[1:][row_N] - 1]
        alpha, clicks_V = self.settings.itemknn_alpha, self._clicks_V + self.settings.itemknn_regularization
        similarity_N = together_N / (clicks_V[last_N] ** alpha * clicks_V[items_N] ** (1 - alpha))
        is_kept_N = heaviest(row_N, similarity_N, self.settings.itemknn_neighbours)
        lengths = np.bincount(row_N[is_kept_N], minlength=len(sessions))
        return items_N[is_kept_N], similarity_N[is_kept_N], offsets_of(lengths)

    def state(self) -> Mapping[str, np.ndarray]:
        return {**self._pairs.state(), "clicks": self._clicks_V}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._pairs.restore(state)
        self._clicks_V = state["clicks"]
