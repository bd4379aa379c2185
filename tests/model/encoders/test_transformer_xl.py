"""Distances by sine and cosine, weights that look back."""

import torch

from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.encoders.transformer_xl import sinusoids, transfoxl


def test_distance_zero_is_sine_0_and_cosine_1():
    assert sinusoids(2, 4)[0].tolist() == [0, 0, 1, 1]


def test_attention_weights_are_causal_and_sum_to_one():
    encoder = transfoxl(EncoderSettings(8, n_layer=1, n_head=2, has_attentions=True)).eval()
    (weights,) = encoder(torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)).attentions
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4))
    assert weights.triu(1).abs().max() == 0
