"""Reformer on sessions of any length, the same twice."""

import torch

from transformers4recsys.model.encoders.reformer import reformer
from transformers4recsys.model.encoders.settings import EncoderSettings


def test_evaluation_repeats():
    encoder = reformer(EncoderSettings(16, n_layer=2, n_head=2, is_causal=False)).eval()
    inputs, is_real = torch.randn(2, 7, 16), torch.ones(2, 7, dtype=torch.bool)
    first = encoder(inputs, is_real).hidden
    assert first.shape == (2, 7, 16)
    torch.testing.assert_close(first, encoder(inputs, is_real).hidden, rtol=0, atol=0)
