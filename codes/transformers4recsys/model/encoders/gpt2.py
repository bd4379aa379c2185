"""GPT-2 (Radford 2019), to the bit as the library has it (`hidden_act` gelu_new: to rounding), which imports slowly.

One gradient differs: the bias of the keys gets none, where the library's is nothing but rounding. And on CPUs dropout
draws its numbers another way.
`R` rows of `S` places hold several sessions each, as `packing` lays them out; `H` heads of width `E`.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.dropout import Dropout, attend
from transformers4recsys.model.encoders.key_bias import without_key_gradient
from transformers4recsys.model.encoders.packing import pack
from transformers4recsys.model.encoders.settings import EncoderSettings, activation
from transformers4recsys.outputs import Encoded
from transformers4recsys.products import linear

# Weights have the library's names, shapes and first values; so it has two positions and two tokens that nobody reads.
NUM_SPARE_POSITIONS = NUM_TOKENS = 2


class Linear(nn.Module):
    """A linear layer whose weight is (inputs, outputs), as GPT-2 was published."""

    def __init__(self, num_inputs: int, num_outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_inputs, num_outputs).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, hidden_RSD: Tensor, bias_D: Tensor | None = None) -> Tensor:
        """Add another bias where one is given."""
        return linear(hidden_RSD, self.weight.T, self.bias if bias_D is None else bias_D)


class Attention(nn.Module):
    """Attention of several heads; which places see which is given."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.n_head, self.dropout = settings.n_head, settings.dropout
        self.c_attn = Linear(settings.d_model, 3 * settings.d_model)
        self.c_proj = Linear(settings.d_model, settings.d_model)
        self.resid_dropout = Dropout(settings.dropout)

    def forward(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        read_RHSE = attend(*self._qkv(hidden_RSD), may_see_R1SS, share=dropout)
        return self.resid_dropout(self.c_proj(read_RHSE.transpose(1, 2).flatten(2)))

    def weights(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        """Give what `forward` weighs the places with, (R, H, S, S), without dropout."""
        query_RHSE, key_RHSE, _ = self._qkv(hidden_RSD)
        scores_RHSS = query_RHSE @ key_RHSE.transpose(-1, -2) / query_RHSE.shape[-1] ** 0.5
        return scores_RHSS.masked_fill(~may_see_R1SS, -torch.inf).softmax(-1)

    def _qkv(self, hidden_RSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bias_3D = without_key_gradient(self.c_attn.bias)
        query_RSD, key_RSD, value_RSD = self.c_attn(hidden_RSD, bias_3D).chunk(3, dim=-1)
        heads = (self.n_head, -1)
        return (
            query_RSD.unflatten(-1, heads).transpose(1, 2),
            key_RSD.unflatten(-1, heads).transpose(1, 2),
            value_RSD.unflatten(-1, heads).transpose(1, 2),
        )


class FeedForward(nn.Module):
    """Two linear layers around an activation, four times as wide as the model."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.c_fc = Linear(settings.d_model, 4 * settings.d_model)
        self.c_proj = Linear(4 * settings.d_model, settings.d_model)
        self.act = activation(settings.hidden_act)
        self.dropout = Dropout(settings.dropout)

    def forward(self, hidden_RSD: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(hidden_RSD))))


class Block(nn.Module):
    """Attention and a feed-forward network, each of the normalised input and added to it."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.ln_1 = nn.LayerNorm(settings.d_model, eps=settings.layer_norm_eps)
        self.attn = Attention(settings)
        self.ln_2 = nn.LayerNorm(settings.d_model, eps=settings.layer_norm_eps)
        self.mlp = FeedForward(settings)

    def forward(self, hidden_RSD: Tensor, may_see_R1SS: Tensor) -> Tensor:
        hidden_RSD = self.attn(self.ln_1(hidden_RSD), may_see_R1SS) + hidden_RSD
        return hidden_RSD + self.mlp(self.ln_2(hidden_RSD))


class Blocks(nn.Module):
    """Learned positions, blocks, and a last norm."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.wte = nn.Embedding(NUM_TOKENS, settings.d_model)
        self.wpe = nn.Embedding(settings.max_length + NUM_SPARE_POSITIONS, settings.d_model)
        self.drop = Dropout(settings.dropout)
        self.h = nn.ModuleList([Block(settings) for _ in range(settings.n_layer)])
        self.ln_f = nn.LayerNorm(settings.d_model, eps=settings.layer_norm_eps)

    def forward(
        self, rows_RSD: Tensor, position_ids: Tensor, may_see_R1SS: Tensor, *, wants_attentions: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden_RSD = self.drop(rows_RSD + self.wpe(position_ids))
        weights: list[Tensor] = []
        for block in self.h:
            assert type(block) is Block
            if wants_attentions:
                weights.append(block.attn.weights(block.ln_1(hidden_RSD), may_see_R1SS))
            hidden_RSD = block(hidden_RSD, may_see_R1SS)
        return self.ln_f(hidden_RSD), tuple(weights)


class GPT2(nn.Module):
    """Runs the blocks on packed sessions; no position sees a later one.

    With `is_packed` off, and in a graph for export, the sessions stay padded, which gives the same hidden states to
    rounding.
    """

    used_settings: frozenset[str] = frozenset(
        ("n_layer", "n_head", "dropout", "hidden_act", "layer_norm_eps", "initializer_range")
        + ("disable_positional_embeddings", "log_attention_weights")
    )

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.has_attentions, self.is_packed = settings.has_attentions, True
        self.model = Blocks(settings)
        self.model.apply(partial(_initialise, std=settings.initializer_range, num_layers=settings.n_layer))
        self.model.wte.requires_grad_(False)
        if not settings.has_positions:
            nn.init.zeros_(self.model.wpe.weight).requires_grad_(False)

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        wants_attentions = self.has_attentions and not self.training
        if self.is_packed and not wants_attentions and not torch.compiler.is_exporting():
            packing = pack(padding_mask_BL, device=inputs_BLD.device)
            rows_RSD, position_RS = packing.packed(inputs_BLD), packing.position_ids()
            hidden_RSD, _ = self.model(rows_RSD, position_RS, packing.sees_earlier())
            return Encoded(packing.unpacked(hidden_RSD))
        place_L = torch.arange(inputs_BLD.shape[1], device=inputs_BLD.device)
        may_see_LL = place_L[:, None] >= place_L
        hidden_BLD, weights = self.model(inputs_BLD, place_L, may_see_LL, wants_attentions=wants_attentions)
        return Encoded(hidden_BLD, weights if wants_attentions else None)


def gpt2(settings: EncoderSettings) -> GPT2:
    """Make a GPT-2 of the given sizes."""
    if settings.d_model % settings.n_head:
        raise InputError(f"`d_model` {settings.d_model} must be a multiple of `n_head` {settings.n_head}")
    return GPT2(settings)


def _initialise(module: nn.Module, std: float, num_layers: int) -> None:
    """Draw weights; those that end a residual path less, by the number of paths (Radford 2019, section 2.3)."""
    if isinstance(module, (Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=std)
    elif isinstance(module, (Attention, FeedForward)):
        nn.init.normal_(module.c_proj.weight, std=std / math.sqrt(2 * num_layers))
