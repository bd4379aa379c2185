"""Causal Transformers of our own that normalise before each layer: SASRec, and LiGR with gates on its residuals.

`R` rows of `S` places hold several sessions each, as `packing` lays them out; `H` heads of width `E`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from transformers4recsys.batch import moved
from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.dropout import Dropout, attend
from transformers4recsys.model.encoders.key_bias import without_key_gradient
from transformers4recsys.model.encoders.packing import pack
from transformers4recsys.model.encoders.settings import EncoderSettings, activation
from transformers4recsys.outputs import Encoded
from transformers4recsys.products import Linear, linear


class Attention(nn.Module):
    """Attention of several heads; which places see which is given."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.n_head, self.dropout = settings.n_head, settings.dropout
        self.to_qkv = Linear(settings.d_model, 3 * settings.d_model)
        self.output = Linear(settings.d_model, settings.d_model)

    def forward(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        query_RHSE, key_RHSE, value_RHSE = self._qkv(hidden_RSD).unbind()
        read_RHSE = attend(query_RHSE, key_RHSE, value_RHSE, may_see_R1SS, share=dropout)
        return self.output(read_RHSE.transpose(1, 2).flatten(2))

    def weights(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        """Give what `forward` weighs the places with, (R, H, S, S), without dropout."""
        query_RHSE, key_RHSE, _ = self._qkv(hidden_RSD)
        scores_RHSS = query_RHSE @ key_RHSE.transpose(-1, -2) / query_RHSE.shape[-1] ** 0.5
        return scores_RHSS.masked_fill(~may_see_R1SS, -torch.inf).softmax(-1)

    def _qkv(self, hidden_RSD: Tensor) -> Tensor:
        """Give queries, keys and values, (3, R, H, S, E)."""
        qkv_RS3D: Tensor = linear(hidden_RSD, self.to_qkv.weight, without_key_gradient(self.to_qkv.bias))
        return qkv_RS3D.view(*qkv_RS3D.shape[:2], 3, self.n_head, -1).permute(2, 0, 3, 1, 4)


class FeedForward(nn.Module):
    """Two linear layers around an activation, as wide as the model (Kang and McAuley 2018, section 3.3)."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.first = Linear(settings.d_model, settings.d_model)
        self.activation = activation(settings.hidden_act)
        self.dropout = Dropout(settings.dropout)
        self.second = Linear(settings.d_model, settings.d_model)

    def forward(self, hidden_RSD: Tensor) -> Tensor:
        return self.second(self.dropout(self.activation(self.first(hidden_RSD))))


class SwiGlu(nn.Module):
    """A gated feed-forward network, four times as wide as the model (Shazeer 2020)."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.gate_and_value = Linear(settings.d_model, 8 * settings.d_model, bias=False)
        self.output = Linear(4 * settings.d_model, settings.d_model, bias=False)

    def forward(self, hidden_RSD: Tensor) -> Tensor:
        gate, value = self.gate_and_value(hidden_RSD).chunk(2, dim=-1)
        return self.output(silu(gate) * value)


class Residual(nn.Module):
    """Adds what a layer makes of the normalised input to the input; with a gate, times sigma(W x) of the input."""

    def __init__(self, layer: nn.Module, settings: EncoderSettings, *, is_gated: bool):
        super().__init__()
        self.norm = nn.LayerNorm(settings.d_model, eps=settings.layer_norm_eps)
        self.layer, self.dropout = layer, Dropout(settings.dropout)
        self.gate = Linear(settings.d_model, settings.d_model) if is_gated else None

    def forward(self, hidden_RSD: Tensor, *others: Tensor) -> Tensor:
        added_RSD = self.dropout(self.layer(self.norm(hidden_RSD), *others))
        return hidden_RSD + (added_RSD if self.gate is None else self.gate(hidden_RSD).sigmoid() * added_RSD)


class Layer(nn.Module):
    """Attention and a feed-forward network, one residual each."""

    def __init__(self, settings: EncoderSettings, feed_forward: Callable[..., nn.Module], *, is_gated: bool):
        super().__init__()
        self.attention = Residual(Attention(settings), settings, is_gated=is_gated)
        self.feed_forward = Residual(feed_forward(settings), settings, is_gated=is_gated)

    def forward(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        return self.feed_forward(self.attention(hidden_RSD, may_see_R1SS))

    def weights(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        attention = self.attention.layer
        assert type(attention) is Attention
        return attention.weights(self.attention.norm(hidden_RSD), may_see_R1SS)


class PreNormTransformer(nn.Module):
    """Layers over packed sessions with learned positions, and a last norm; no position sees a later one.

    Positions count from the start of a session or, with `positions_from_end`, down to 0 at its last item.
    With `is_packed` off, and in a graph for export, the sessions stay padded, which gives the same hidden states to
    rounding.
    """

    used_settings: frozenset[str] = frozenset(
        ("n_layer", "n_head", "dropout", "hidden_act", "layer_norm_eps", "initializer_range")
        + ("disable_positional_embeddings", "positions_from_end", "log_attention_weights")
    )

    def __init__(self, settings: EncoderSettings, feed_forward: Callable[..., nn.Module], *, is_gated: bool):
        super().__init__()
        self.has_attentions, self.is_packed = settings.has_attentions, True
        self.counts_from_end = settings.positions_from_end
        self.positions = nn.Embedding(settings.max_length, settings.d_model) if settings.has_positions else None
        self.dropout = Dropout(settings.dropout)
        layers = [Layer(settings, feed_forward, is_gated=is_gated) for _ in range(settings.n_layer)]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(settings.d_model, eps=settings.layer_norm_eps)
        self.apply(partial(_initialise, std=settings.initializer_range))

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        wants_attentions = self.has_attentions and not self.training
        if self.is_packed and not wants_attentions and not torch.compiler.is_exporting():
            packing = pack(padding_mask_BL, device=inputs_BLD.device)
            position_RS = packing.numbers(self._positions(padding_mask_BL))
            hidden_RSD, _ = self._encode(packing.packed(inputs_BLD), position_RS, packing.sees_earlier())
            return Encoded(packing.unpacked(hidden_RSD))
        length = inputs_BLD.shape[1]
        place_L = torch.arange(length, device=inputs_BLD.device)
        may_see_LL = place_L[:, None] >= place_L
        position_BL = moved(self._positions(padding_mask_BL), inputs_BLD.device)
        hidden_BLD, weights = self._encode(inputs_BLD, position_BL, may_see_LL, wants_attentions=wants_attentions)
        return Encoded(hidden_BLD, weights if wants_attentions else None)

    def _positions(self, padding_mask_BL: Tensor) -> Tensor:
        """Number the positions of each session, (B, L); those of padding mean nothing."""
        place_BL = torch.arange(padding_mask_BL.shape[1], device=padding_mask_BL.device).expand_as(padding_mask_BL)
        if not self.counts_from_end:
            return place_BL
        return (padding_mask_BL.sum(1, keepdim=True) - 1 - place_BL).clamp(min=0)

    def _encode(
        self, rows_RSD: Tensor, position_ids: Tensor, may_see_R1SS: Tensor, *, wants_attentions: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden_RSD = rows_RSD
        weights: list[Tensor] = []
        if self.positions is not None:
            hidden_RSD = hidden_RSD + self.positions(position_ids)
        hidden_RSD = self.dropout(hidden_RSD)
        for layer in self.layers:
            assert type(layer) is Layer
            if wants_attentions:
                weights.append(layer.weights(hidden_RSD, may_see_R1SS))
            hidden_RSD = layer(hidden_RSD, may_see_R1SS)
        return self.norm(hidden_RSD), tuple(weights)


def sasrec(settings: EncoderSettings) -> PreNormTransformer:
    """SASRec (Kang and McAuley 2018): attention and a narrow feed-forward network, normalised before each."""
    _check(settings)
    return PreNormTransformer(settings, FeedForward, is_gated=False)


def ligr(settings: EncoderSettings) -> PreNormTransformer:
    """LiGR (Borisyuk 2025): as SASRec, with a learned gate on each residual and a SwiGLU network."""
    _check(settings)
    return PreNormTransformer(settings, SwiGlu, is_gated=True)


def _check(settings: EncoderSettings) -> None:
    if settings.d_model % settings.n_head:
        raise InputError(f"`d_model` {settings.d_model} must be a multiple of `n_head` {settings.n_head}")
    activation(settings.hidden_act)


def _initialise(module: nn.Module, std: float) -> None:
    for name, weight in module.named_parameters(recurse=False):
        if isinstance(module, (nn.Linear, nn.Embedding)) and name == "weight":
            nn.init.normal_(weight, std=std)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(weight)
