"""Widths, sharing and padding of the input tables."""

import pytest
import torch

from transformers4recsys.model.features import FeatureEmbedder, table_width
from transformers4recsys.schema import Schema


@pytest.mark.parametrize(("cardinality", "width"), [(16, 4), (390_000, 50), (10_000, 20), (2, 3)])
def test_table_width_is_twice_the_fourth_root_rounded_up(cardinality, width):
    assert table_width(cardinality) == width


def test_columns_that_name_one_table_share_it():
    schema = Schema.from_entries(
        {
            "item_id": {"dtype": "categorical", "cardinality": 100, "emb_table": "product", "is_label": True},
            "compared_with": {"dtype": "categorical", "cardinality": 100, "emb_table": "product"},
            "brand": {"dtype": "categorical", "cardinality": 16},
        }
    )
    embedder = FeatureEmbedder(schema, d_model=8, item_width=6)
    assert {name: tuple(table.weight.shape) for name, table in embedder.tables.items()} == {
        "product": (100, 6),
        "brand": (16, 4),
    }
    assert embedder.merge.linear.in_features == 6 + 6 + 4


def test_only_real_positions_are_embedded(schema, make_batch):
    embedder = FeatureEmbedder(schema, d_model=8)
    assert embedder(make_batch([[1, 2, 3], [4, 5]])).shape == (5, 8)


def test_the_padding_row_is_zero_and_stays_so(schema):
    embedder = FeatureEmbedder(schema, d_model=8)
    assert torch.equal(embedder.item_table.weight[0], torch.zeros_like(embedder.item_table.weight[0]))
    embedder.item_table(torch.tensor([0, 1])).sum().backward()
    assert embedder.item_table.weight.grad[0].abs().max() == 0
    assert embedder.item_table.weight.grad[1].abs().max() > 0
