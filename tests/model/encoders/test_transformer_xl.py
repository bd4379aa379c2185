"""Distances by sine and cosine, weights that look back."""

import math

import torch

from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.encoders.transformer_xl import RelativeAttention, sinusoids, transfoxl


def test_distance_zero_is_sine_0_and_cosine_1():
    assert sinusoids(2, 4)[0].tolist() == [0, 0, 1, 1]


def test_attention_weights_are_causal_and_sum_to_one():
    encoder = transfoxl(EncoderSettings(8, n_layer=1, n_head=2, has_attentions=True)).eval()
    (weights,) = encoder(torch.randn(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)).attentions
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4))
    assert weights.triu(1).abs().max() == 0


def test_attention_scores_are_those_of_the_paper():
    torch.manual_seed(0)
    attention = RelativeAttention(EncoderSettings(8, n_head=2, dropout=0.0))
    for weight in attention.parameters():
        torch.nn.init.normal_(weight)
    hidden, distances = torch.randn(1, 4, 8), torch.randn(4, 8)
    with torch.no_grad():
        _, weights = attention(hidden, distances, torch.ones(4, 4, dtype=torch.bool).tril())
        query, key, _ = attention.to_qkv(hidden[0]).chunk(3, dim=-1)
        distance_key = attention.to_distance_key(distances)
    for head, part in enumerate((slice(0, 4), slice(4, 8))):
        content_bias, distance_bias = attention.content_bias_HE[head], attention.distance_bias_HE[head]
        for i in range(4):
            scores = [
                (query[i, part] + content_bias) @ key[j, part]
                + (query[i, part] + distance_bias) @ distance_key[i - j, part]
                for j in range(i + 1)
            ]
            expected = (torch.stack(scores) / math.sqrt(4)).softmax(0)
            torch.testing.assert_close(weights[0, head, i, : i + 1], expected)
