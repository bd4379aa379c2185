"""Toy schemas, batches and models that many tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.losses import cross_entropy
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.scoring import ACTIVATIONS, ItemScorer
from transformers4recsys.model.targets import CausalTargets
from transformers4recsys.schema import Schema

NUM_ITEMS = 31


@pytest.fixture
def schema() -> Schema:
    """An item id, a category and a price."""
    return Schema.from_entries(
        {
            "item_id": {"dtype": "categorical", "cardinality": NUM_ITEMS, "is_label": True},
            "category": {"dtype": "categorical", "cardinality": 5},
            "price": {"dtype": "float"},
        }
    )


@pytest.fixture
def make_batch() -> Callable[[list[list[int]]], Batch]:
    """Sessions of item ids to a batch; category and price follow from the item."""

    def make(sessions: list[list[int]]) -> Batch:
        return Batch(
            {
                "item_id": Jagged.from_lists(sessions, torch.long),
                "category": Jagged.from_lists([[item % 4 + 1 for item in session] for session in sessions], torch.long),
                "price": Jagged.from_lists([[item / 10 for item in session] for session in sessions], torch.float32),
            }
        )

    return make


@pytest.fixture
def make_model() -> Callable[..., NextItemModel]:
    """A small model of any encoder, reproducible, in evaluation mode."""

    def make(schema: Schema, model_type: str, *, is_tied: bool = False, d_model: int = 16, **sizes: object):
        torch.manual_seed(0)
        features = FeatureEmbedder(schema, d_model=d_model, item_width=d_model if is_tied else None)
        settings = EncoderSettings(d_model, **{"n_layer": 2, "n_head": 2, "max_length": 24, "dropout": 0.1, **sizes})
        scorer = ItemScorer(
            d_model,
            num_items=schema.item_id.cardinality,
            table_width=d_model,
            activation=ACTIVATIONS["tanh"],
            is_tied=is_tied,
        )
        model = NextItemModel(
            schema,
            features=features,
            encoder=ENCODERS[model_type](settings),
            scorer=scorer,
            loss=partial(cross_entropy),
            training_targets=CausalTargets(),
            evaluation_targets=CausalTargets(),
        )
        # Weights as drawn make nearly equal scores; larger ones let a wrong connection show.
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(4)
        return model.eval()

    return make
