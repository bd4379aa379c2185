"""Reformer on sessions of any length, the same twice."""

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.reformer import reformer
from transformers4recsys.model.encoders.settings import EncoderSettings


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


def test_chunks_ahead_are_refused_for_next_items():
    with pytest.raises(InputError, match="`num_chunks_after` 1"):
        reformer(EncoderSettings(16, n_head=2, num_chunks_after=1))
