"""Baselines by name: they count what followed what, day after day, and have no gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers4recsys.baselines.itemknn import ItemKnn, ItemKnnSettings
from transformers4recsys.baselines.popular import Popular, PopularSettings, Recent, RecentSettings
from transformers4recsys.baselines.protocol import Baseline
from transformers4recsys.baselines.rules import Rules, RulesSettings
from transformers4recsys.baselines.stan import StanSettings, stan
from transformers4recsys.baselines.vsknn import VsknnSettings, vsknn
from transformers4recsys.baselines.vstan import VstanSettings, vstan
from transformers4recsys.settings import Parts, check, parts, setting

# By name: what makes it, and of which settings.
BASELINES: Mapping[str, tuple[Callable[[Any], Baseline], type]] = {
    "popular": (Popular, PopularSettings),
    "recent": (Recent, RecentSettings),
    "rules": (Rules, RulesSettings),
    "itemknn": (ItemKnn, ItemKnnSettings),
    "vsknn": (vsknn, VsknnSettings),
    "stan": (stan, StanSettings),
    "vstan": (vstan, VstanSettings),
}


@dataclass(frozen=True)
class BaselineSettings:
    """Baselines: measured on the same targets as the model"""

    baselines: tuple[str, ...] = setting(
        (), "beside the model, besides the most popular items", choices=lambda: BASELINES
    )
    own: Parts = parts(lambda: [settings for _, settings in BASELINES.values()])

    def __post_init__(self) -> None:
        check(self)

    def make(self, name: str) -> Baseline:
        """Make a baseline that has learned nothing yet."""
        baseline, settings = BASELINES[name]
        return baseline(self.own[settings])
