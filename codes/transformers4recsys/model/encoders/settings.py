"""The sizes that every encoder is built from, mapped by each family to its own names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderSettings:
    """Width, layers, heads and the like; `max_length` is the longest sequence it will see.

    `is_causal` says that the task needs an encoder which never looks ahead.
    """

    d_model: int
    n_layer: int = 2
    n_head: int = 4
    max_length: int = 20
    dropout: float = 0.1
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    has_positions: bool = True
    has_attentions: bool = False
    is_causal: bool = True
    attn_type: str = "uni"
    axial_pos_shape_first_dim: int = 4
    attn_chunk_length: int = 4
    num_chunks_before: int = 1
    num_chunks_after: int = 0
    chunk_size_feed_forward: int = 0
    lsh_num_hashes: int = 2
