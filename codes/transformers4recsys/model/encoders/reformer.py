"""Reformer (Kitaev 2020): attention within chunks, and within chunks of positions that hash alike."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from transformers4recsys.batch import moved
from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.huggingface import configuration, forget_positions
from transformers4recsys.model.encoders.library import transformers
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded
from transformers4recsys.settings import check, names_of, setting

HASH_SEED = 0


@dataclass(frozen=True)
class ReformerSettings:
    """Reformer: its axial positions, chunks and hashes"""

    axial_pos_shape_first_dim: int = setting(4, "first axis of the axial positions", if_changed="refuse")
    attn_chunk_length: int = setting(4, "positions in an attention chunk", if_changed="refuse")
    num_chunks_before: int = setting(1, "chunks seen before its own", if_changed="refuse")
    num_chunks_after: int = setting(0, "chunks seen after its own", if_changed="refuse")
    chunk_size_feed_forward: int = setting(0, "positions a feed-forward chunk; 0 for all")
    lsh_num_hashes: int = setting(2, "rounds of hashing", if_changed="refuse")

    def __post_init__(self) -> None:
        check(self)


class Reformer(nn.Module):
    """Runs the library's Reformer on sessions padded to one length, which its axial positions and chunks need.

    Hashing is drawn anew for each training batch and always the same in evaluation. The two streams that
    the model gives side by side are joined to d_model by a linear layer.
    """

    def __init__(self, model: transformers.ReformerModel, *, d_model: int, length: int, used_settings: frozenset[str]):
        super().__init__()
        model.get_input_embeddings().requires_grad_(False)
        self.model, self.length, self.used_settings = model, length, used_settings
        self.join = nn.Linear(2 * d_model, d_model)
        for layer in model.encoder.layers:
            vars(layer)["_init_attention_seed"] = partial(_seed_attention, layer)
            vars(layer)["_init_feed_forward_seed"] = partial(_seed_feed_forward, layer)

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        length = padding_mask_BL.shape[1]
        missing = self.length - length
        if self.training:
            self._draw_seeds()
        for module in self.model.modules():
            if "hash_seed" in vars(module):
                vars(module)["hash_seed"] = None if self.training else HASH_SEED
        # The library seeds the global generator to hash alike: what follows must not repeat with it.
        keeping = torch.random.fork_rng(_devices(inputs_BLD))  # pyright: ignore
        with nullcontext() if self.training else cast("AbstractContextManager[None]", keeping):
            hidden_BLD = self.model(
                inputs_embeds=nn.functional.pad(inputs_BLD, (0, 0, 0, missing)),
                attention_mask=nn.functional.pad(moved(padding_mask_BL, inputs_BLD.device), (0, missing)),
            ).last_hidden_state
        return Encoded(self.join(hidden_BLD)[:, :length])

    def _draw_seeds(self) -> None:
        """Draw what each layer seeds its dropout with, in the forward pass and again in the backward one.

        The library takes it from the entropy of the system: no run could be repeated.
        """
        layers = self.model.encoder.layers
        for layer, seeds in zip(layers, torch.randint(2**62, (len(layers), 2)).numpy(), strict=True):
            of_layer = vars(layer)
            of_layer["attention_seed"], of_layer["feed_forward_seed"] = map(int, seeds)


def reformer(settings: EncoderSettings) -> Reformer:
    """Make a Reformer: layers of local attention, every other one hashing where the task allows it.

    Hashing sorts a whole session, so what stands later would decide which earlier items a position sees:
    in the causal task all layers are local.
    """
    own = settings.own[ReformerSettings]
    if settings.is_causal and own.num_chunks_after:
        raise InputError(
            f"`num_chunks_after` {own.num_chunks_after}: an encoder of next items must not look ahead; "
            "set it to 0, or learn masked items with `mlm`"
        )
    first, chunk = own.axial_pos_shape_first_dim, own.attn_chunk_length
    step = math.lcm(first, chunk)
    length = max(math.ceil(settings.max_length / step), 1) * step
    kinds = ["local"] if settings.is_causal else ["local", "lsh"]
    half = settings.d_model // 2
    values = {
        "attn_layers": [kinds[layer % len(kinds)] for layer in range(settings.n_layer)],
        "axial_pos_shape": (first, length // first),
        "axial_pos_embds_dim": (half, settings.d_model - half),
        "max_position_embeddings": length,
        "is_decoder": settings.is_causal,
        # As many as the paper recommends: twice the number of chunks, a power of two.
        "num_buckets": 2 ** math.ceil(math.log2(max(2 * length // chunk, 2))),
        "num_hashes": own.lsh_num_hashes,
        "chunk_size_feed_forward": own.chunk_size_feed_forward,
        **_for_both_kinds("attn_chunk_length", chunk),
        **_for_both_kinds("num_chunks_before", own.num_chunks_before),
        **_for_both_kinds("num_chunks_after", own.num_chunks_after),
    }
    config, used = configuration("reformer", settings, values)
    assert type(config) is transformers.ReformerConfig
    model = transformers.ReformerModel(config)
    if not settings.has_positions:
        forget_positions(model)
    used |= {"disable_positional_embeddings", *names_of(ReformerSettings)}
    used -= {"lsh_num_hashes"} if settings.is_causal else set()
    return Reformer(model, d_model=settings.d_model, length=length, used_settings=used)


def _seed_attention(layer: nn.Module) -> None:
    torch.manual_seed(layer.attention_seed)  # pyright: ignore


def _seed_feed_forward(layer: nn.Module) -> None:
    torch.manual_seed(layer.feed_forward_seed)  # pyright: ignore


def _for_both_kinds(name: str, value: int) -> dict[str, int]:
    return {f"{kind}_{name}": value for kind in ("local", "lsh")}


def _devices(tensor: Tensor) -> list[torch.device]:
    return [tensor.device] if tensor.is_cuda else []
