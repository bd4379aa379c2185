"""STAN: session neighbours by sequence and time (Garg 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transformers4recsys.baselines.neighbours import Definition, SessionNeighbours
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class StanSettings:
    """Baseline stan: session neighbours by sequence and time (STAN, Garg 2019)"""

    stan_neighbours: int = setting(500, "most similar earlier sessions that count", at_least=1, if_changed="refuse")
    stan_sample_size: int = setting(
        5_000, "latest sessions with an item of this one that are compared", at_least=1, if_changed="refuse"
    )
    stan_lambda_spw: float = setting(
        1.02, "items after which an item of the session weighs 1/e", above=0, if_changed="refuse"
    )
    stan_lambda_snh: float = setting(
        5.0, "days (or hours) after which an earlier session weighs 1/e", above=0, if_changed="refuse"
    )
    stan_lambda_inh: float = setting(
        2.05, "items from a shared one at which a neighbour's item weighs 1/e", above=0, if_changed="refuse"
    )

    def __post_init__(self) -> None:
        check(self)


def stan(settings: StanSettings) -> SessionNeighbours:
    """Make STAN."""
    return SessionNeighbours(
        Definition(
            settings.stan_neighbours,
            settings.stan_sample_size,
            position_weight=recency(settings.stan_lambda_spw),
            match_weight=lambda from_end: np.ones(len(from_end)),
            is_cosine=True,
            age_weight=decay(settings.stan_lambda_snh),
            distance_weight=decay(settings.stan_lambda_inh),
        )
    )


def decay(scale: float) -> Callable[[np.ndarray], np.ndarray]:
    """Make exp(-x / scale)."""
    return lambda distance: np.exp(-distance / scale)


def recency(scale: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Make exp(-x / scale) of the items behind one, whatever the length of the session."""
    return lambda from_end, length: np.exp(-from_end / scale)
