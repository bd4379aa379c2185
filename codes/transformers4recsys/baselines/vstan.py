"""VSTAN: STAN with the weights of V-SkNN for the latest shared item and for rare items (Ludewig 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from transformers4recsys.baselines.neighbours import Definition, SessionNeighbours
from transformers4recsys.baselines.stan import decay, recency
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class VstanSettings:
    """Baseline vstan: session neighbours by sequence, time and rarity (VSTAN, Ludewig 2021)"""

    vstan_neighbours: int = setting(500, "most similar earlier sessions that count", at_least=1, if_changed="refuse")
    vstan_sample_size: int = setting(
        5_000, "latest sessions with an item of this one that are compared", at_least=1, if_changed="refuse"
    )
    vstan_lambda_spw: float = setting(
        1.02, "items after which an item of the session weighs 1/e", above=0, if_changed="refuse"
    )
    vstan_lambda_snh: float = setting(
        5.0, "days (or hours) after which an earlier session weighs 1/e", above=0, if_changed="refuse"
    )
    vstan_lambda_inh: float = setting(
        2.05, "items from a shared one at which a neighbour's item weighs 1/e", above=0, if_changed="refuse"
    )
    vstan_lambda_ipw: float = setting(
        1.02, "items after which the latest shared item weighs 1/e", above=0, if_changed="refuse"
    )
    vstan_lambda_idf: float = setting(
        5.0, "how much rare items are preferred; 0 not at all", at_least=0, if_changed="refuse"
    )

    def __post_init__(self) -> None:
        check(self)


def vstan(settings: VstanSettings) -> SessionNeighbours:
    """Make VSTAN."""
    return SessionNeighbours(
        Definition(
            settings.vstan_neighbours,
            settings.vstan_sample_size,
            position_weight=recency(settings.vstan_lambda_spw),
            match_weight=decay(settings.vstan_lambda_ipw),
            is_cosine=True,
            age_weight=decay(settings.vstan_lambda_snh),
            distance_weight=decay(settings.vstan_lambda_inh),
            idf=settings.vstan_lambda_idf,
        )
    )
