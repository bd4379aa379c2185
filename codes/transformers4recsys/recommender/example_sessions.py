"""Sessions to try a model on, made out of nothing but what its run folder holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers4recsys.recommender import Recommender


def sessions_by_popularity(recommender: Recommender, number: int) -> list[list[Any]]:
    """Make sessions of all lengths out of items drawn by their training events, the same at each call."""
    draw = np.random.default_rng(0)
    counts_V = recommender.inference.model.item_counts.double().cpu().numpy() + 1.0
    raw = recommender.item_ids.to_pylist()
    places = np.array([place for place, each in enumerate(raw) if each is not None])
    shares = counts_V[places] / counts_V[places].sum()
    longest = recommender.inference.longest_session
    lengths = [2 + step % max(longest - 1, 1) for step in range(number)]
    return [[raw[place] for place in draw.choice(places, min(length, longest), p=shares)] for length in lengths]
