"""Transformer-XL (Dai 2019) without its memory: a causal Transformer whose attention reads distances.

R is the number of distances, L; H heads of width E.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.settings import EncoderSettings, activation
from transformers4recsys.outputs import Encoded


class RelativeAttention(nn.Module):
    """Attention whose scores are content . content + content . distance (Dai 2019, section 3.3, terms a to d)."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        d_model, self.n_head = settings.d_model, settings.n_head
        self.width = d_model // self.n_head
        self.to_qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.to_distance_key = nn.Linear(d_model, d_model, bias=False)
        self.content_bias_HE = nn.Parameter(torch.zeros(self.n_head, self.width))
        self.distance_bias_HE = nn.Parameter(torch.zeros(self.n_head, self.width))
        self.output = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, hidden_BLD: Tensor, distance_RD: Tensor, may_see_LL: Tensor) -> tuple[Tensor, Tensor]:
        num_sessions, length, _ = hidden_BLD.shape
        qkv_3BHLE = self.to_qkv(hidden_BLD).view(num_sessions, length, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        query_BHLE, key_BHLE, value_BHLE = qkv_3BHLE
        distance_key_HRE = self.to_distance_key(distance_RD).view(length, self.n_head, -1).transpose(0, 1)
        content_BHLL = (query_BHLE + self.content_bias_HE[:, None]) @ key_BHLE.transpose(-1, -2)
        by_distance_BHLR = (query_BHLE + self.distance_bias_HE[:, None]) @ distance_key_HRE.transpose(-1, -2)
        at_LL = (torch.arange(length)[:, None] - torch.arange(length)).clamp(min=0).to(hidden_BLD.device)
        distance_BHLL = by_distance_BHLR.gather(-1, at_LL.expand_as(content_BHLL))
        scores_BHLL = (content_BHLL + distance_BHLL) / math.sqrt(self.width)
        weights_BHLL = scores_BHLL.masked_fill(~may_see_LL, -torch.inf).softmax(-1)
        read_BLD = (self.dropout(weights_BHLL) @ value_BHLE).transpose(1, 2).flatten(2)
        return self.output(read_BLD), weights_BHLL


class Layer(nn.Module):
    """Relative attention and a feed-forward network, each added to its input and then normalised."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        d_model = settings.d_model
        self.attention = RelativeAttention(settings)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, 4 * d_model),
            activation(settings.hidden_act),
            nn.Dropout(settings.dropout),
            nn.Linear(4 * d_model, d_model),
        )
        self.after_attention = nn.LayerNorm(d_model, eps=settings.layer_norm_eps)
        self.after_feed_forward = nn.LayerNorm(d_model, eps=settings.layer_norm_eps)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, hidden_BLD: Tensor, distance_RD: Tensor, may_see_LL: Tensor) -> tuple[Tensor, Tensor]:
        read_BLD, weights_BHLL = self.attention(hidden_BLD, distance_RD, may_see_LL)
        hidden_BLD = self.after_attention(hidden_BLD + self.dropout(read_BLD))
        return self.after_feed_forward(hidden_BLD + self.dropout(self.feed_forward(hidden_BLD))), weights_BHLL


class TransformerXL(nn.Module):
    """Layers of relative attention over a session; no position sees a later one, padding on the right included."""

    used_settings: frozenset[str] = frozenset(
        ("n_layer", "n_head", "dropout", "hidden_act", "layer_norm_eps", "initializer_range")
        + ("disable_positional_embeddings", "log_attention_weights")
    )

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.layers = nn.ModuleList([Layer(settings) for _ in range(settings.n_layer)])
        self.dropout = nn.Dropout(settings.dropout)
        self.has_positions, self.has_attentions = settings.has_positions, settings.has_attentions
        self.apply(partial(_initialise, std=settings.initializer_range))
        if not self.has_positions:
            for name, weight in self.named_parameters():
                weight.requires_grad_("distance" not in name)

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        length, width = inputs_BLD.shape[1:]
        distance_RD = sinusoids(length, width).to(inputs_BLD) * self.has_positions
        may_see_LL = torch.ones(length, length, dtype=torch.bool, device=inputs_BLD.device).tril()
        hidden_BLD = self.dropout(inputs_BLD)
        weights: list[Tensor] = []
        for layer in self.layers:
            hidden_BLD, weights_BHLL = layer(hidden_BLD, self.dropout(distance_RD), may_see_LL)
            weights.append(weights_BHLL)
        return Encoded(self.dropout(hidden_BLD), tuple(weights) if self.has_attentions else None)


def sinusoids(length: int, width: int) -> Tensor:
    """Encode the distances 0..length-1 (Vaswani 2017, section 3.5), (length, width)."""
    frequency_D = 10000 ** (-torch.arange(0, width, 2) / width)
    angle_LD = torch.arange(length)[:, None] * frequency_D
    return torch.cat([angle_LD.sin(), angle_LD.cos()], dim=1)[:, :width]


def transfoxl(settings: EncoderSettings) -> TransformerXL:
    """Make a Transformer-XL of the given sizes."""
    if settings.d_model % settings.n_head:
        raise InputError(f"`d_model` {settings.d_model} must be a multiple of `n_head` {settings.n_head}")
    activation(settings.hidden_act)
    return TransformerXL(settings)


def _initialise(module: nn.Module, std: float) -> None:
    if type(module) is nn.Linear:
        for name, weight in module.named_parameters(recurse=False):
            nn.init.normal_(weight, std=std) if name == "weight" else nn.init.zeros_(weight)
