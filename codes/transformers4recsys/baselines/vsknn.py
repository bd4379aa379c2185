"""V-SkNN: session neighbours by recency-weighted shared items (Ludewig and Jannach 2018, after Jannach 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from transformers4recsys.baselines.neighbours import Definition, SessionNeighbours
from transformers4recsys.settings import check, choose, setting

# Of the items behind an item of the current session, and the session's length.
POSITION_WEIGHTS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "div": lambda from_end, length: (length - from_end) / length,
    "quadratic": lambda from_end, length: ((length - from_end) / length) ** 2,
    "linear": lambda from_end, length: np.maximum(0.0, 1 - 0.1 * from_end),
    "log": lambda from_end, length: 1 / np.log10(from_end + 1.7),
    "same": lambda from_end, length: np.ones(len(from_end)),
}
# Of the items behind the latest item that a neighbour shares.
MATCH_WEIGHTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "div": lambda from_end: 1 / (from_end + 1),
    "quadratic": lambda from_end: 1 / (from_end + 1) ** 2,
    "linear": lambda from_end: np.maximum(0.0, 1 - 0.1 * (from_end + 1)),
    "log": lambda from_end: 1 / np.log10(from_end + 2.7),
    "same": lambda from_end: np.ones(len(from_end)),
}


@dataclass(frozen=True)
class VsknnSettings:
    """Baseline vsknn: session neighbours (V-SkNN, Ludewig and Jannach 2018)"""

    vsknn_neighbours: int = setting(500, "most similar earlier sessions that count", at_least=1, if_changed="refuse")
    vsknn_sample_size: int = setting(
        5_000, "latest sessions with an item of this one that are compared", at_least=1, if_changed="refuse"
    )
    vsknn_weighting: str = setting(
        "quadratic",
        "weight of an item by its place in the session",
        choices=lambda: POSITION_WEIGHTS,
        if_changed="refuse",
    )
    vsknn_weighting_score: str = setting(
        "div",
        "weight of a neighbour by the place of the latest shared item",
        choices=lambda: MATCH_WEIGHTS,
        if_changed="refuse",
    )
    vsknn_idf: float = setting(5.0, "how much rare items are preferred; 0 not at all", at_least=0, if_changed="refuse")

    def __post_init__(self) -> None:
        check(self)


def vsknn(settings: VsknnSettings) -> SessionNeighbours:
    """Make V-SkNN."""
    return SessionNeighbours(
        Definition(
            settings.vsknn_neighbours,
            settings.vsknn_sample_size,
            position_weight=choose(POSITION_WEIGHTS, settings.vsknn_weighting, "vsknn_weighting"),
            match_weight=choose(MATCH_WEIGHTS, settings.vsknn_weighting_score, "vsknn_weighting_score"),
            is_cosine=False,
            idf=settings.vsknn_idf,
        )
    )
