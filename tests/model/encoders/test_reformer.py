"""Reformer on sessions of any length, the same twice."""

import copy

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.reformer import ReformerSettings, reformer
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.settings import Parts


def test_evaluation_repeats():
    encoder = reformer(EncoderSettings(16, n_layer=2, n_head=2, is_causal=False)).eval()
    inputs, padding_mask = torch.randn(2, 7, 16), torch.ones(2, 7, dtype=torch.bool)
    first = encoder(inputs, padding_mask).hidden
    assert first.shape == (2, 7, 16)
    torch.manual_seed(7)
    torch.testing.assert_close(first, encoder(inputs, padding_mask).hidden, rtol=0, atol=0)


def test_evaluation_leaves_the_random_numbers_that_follow_alone():
    encoder = reformer(EncoderSettings(16, n_layer=2, n_head=2, is_causal=False)).eval()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    encoder(torch.ones(1, 7, 16), torch.ones(1, 7, dtype=torch.bool))
    assert torch.rand(2).tolist() == expected.tolist()


@pytest.mark.parametrize("is_causal", [True, False])
def test_training_repeats_with_the_seed_and_draws_anew_in_each_step(is_causal):
    encoder = reformer(EncoderSettings(16, n_layer=2, n_head=2, dropout=0.5, is_causal=is_causal)).train()
    copied = copy.deepcopy(encoder)

    def gradients(model):
        torch.manual_seed(3)
        steps = []
        for _ in range(2):
            model.zero_grad()
            model(torch.ones(2, 7, 16), torch.ones(2, 7, dtype=torch.bool)).hidden.square().sum().backward()
            steps.append(model.model.encoder.layers[0].feed_forward.dense.dense.weight.grad.clone())
        return steps

    first, again, of_copy = gradients(encoder), gradients(encoder), gradients(copied)
    assert not torch.equal(first[0], first[1])
    for step, (repeated, of_the_copy) in zip(first, zip(again, of_copy, strict=True), strict=True):
        assert torch.equal(step, repeated) and torch.equal(step, of_the_copy)


def test_chunks_ahead_are_refused_for_next_items():
    with pytest.raises(InputError, match="`num_chunks_after` 1"):
        reformer(EncoderSettings(16, n_head=2, own=Parts({ReformerSettings: ReformerSettings(num_chunks_after=1)})))
