"""The sizes that every encoder is built from, mapped by each family to its own names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module

from torch import nn

from transformers4recsys.settings import Parts, check, choose, setting

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_new": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class EncoderSettings:
    """Encoder: its size, mapped to each architecture's own names

    `max_length` is the longest sequence that it will see; `is_causal` says that the task needs an encoder that is
    causal; `is_permuted`, that it predicts in an order of its own; `has_attentions`, that attention weights are wanted.
    The four follow from other settings. `own` has the settings of single encoders, by class.
    """

    d_model: int = setting(256, "width of the encoder", at_least=1, if_changed="refuse")
    n_layer: int = setting(12, "layers", at_least=1, if_changed="refuse")
    n_head: int = setting(4, "attention heads", at_least=1, if_changed="refuse")
    max_length: int = 20
    dropout: float = setting(0.1, "dropout", at_least=0, below=1)
    hidden_act: str = setting("gelu", "activation inside the encoder", if_changed="refuse")
    layer_norm_eps: float = setting(1e-12, "epsilon of the layer norms", if_changed="refuse")
    initializer_range: float = setting(0.02, "standard deviation of initial weights")
    disable_positional_embeddings: bool = setting(False, "leave positions out", if_changed="refuse")
    positions_from_end: bool = setting(
        False, "count positions from the end of a session (sasrec, ligr)", if_changed="refuse"
    )
    has_attentions: bool = False
    is_causal: bool = True
    is_permuted: bool = False
    attn_type: str = setting("uni", "XLNet's direction", choices=("uni", "bi"), if_changed="refuse")
    summary_type: str = setting(
        "last",
        "XLNet's summary",
        choices=("last", "first", "mean", "cls_index", "attn"),
        used_if=lambda settings: False,
        unused_because="every position predicts for itself, nothing is summed up",
        if_changed="refuse",
    )
    own: Parts = Parts({})

    def __post_init__(self) -> None:
        check(self)

    @property
    def has_positions(self) -> bool:
        return not self.disable_positional_embeddings


def activation(name: str) -> nn.Module:
    """Make an activation function; where PyTorch has it, without the library, which takes seconds to import."""
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]()
    return choose(import_module("transformers.activations").ACT2FN, name, "hidden_act")
