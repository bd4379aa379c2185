"""Rare values give way to the unknown one, frequent ones hardly ever, and only in training."""

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.features import FeatureEmbedder, FeatureSettings
from transformers4recsys.model.unknown import is_replaced


def test_the_rarer_a_value_the_more_often_it_is_replaced():
    torch.manual_seed(0)
    counts = torch.tensor([0, 10, 990]).repeat(200_000, 1)
    assert is_replaced(counts, 0.4).double().mean(0).tolist() == pytest.approx([0.4, 0.2, 0.004], abs=0.01)
    assert not is_replaced(counts, 0.0).any()


def embedder(schema, share):
    torch.manual_seed(1)
    return FeatureEmbedder(schema, FeatureSettings(unknown_share=share), d_model=8)


def test_a_share_is_shown_as_the_unknown_row_which_is_trained(schema, make_batch):
    features = embedder(schema, 0.9).train()
    items = features.item_table
    (features(make_batch([[3, 3, 4, 5]] * 10)) * torch.arange(8.0)).sum().backward()

    assert items.weight.grad[0].abs().sum() > 0
    assert features.table_of(schema.features[1]).weight.grad[0].abs().sum() > 0
    # What was met is counted, as it was and not as it was shown.
    assert features.counts.get_buffer("table item_id")[:6].tolist() == [0, 0, 0, 20, 10, 10]


def test_evaluation_and_a_share_of_zero_replace_nothing(schema, make_batch):
    batch = make_batch([[3, 4, 5]])
    with_share, without = embedder(schema, 0.9).eval(), embedder(schema, 0.0).train()
    torch.testing.assert_close(with_share(batch), without(batch))
    assert "counts" not in dict(without.named_children())
    (without(batch) * torch.arange(8.0)).sum().backward()
    assert without.item_table.weight.grad[0].abs().sum() == 0


def test_a_share_of_one_is_refused():
    with pytest.raises(InputError, match="`unknown_share` 1.0: must be at least 0 and below 1"):
        FeatureSettings(unknown_share=1.0)
