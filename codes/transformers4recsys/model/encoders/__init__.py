"""Encoders by name: each reads (B, L, D) and answers (B, L, D)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from torch import Tensor

from transformers4recsys.model.encoders.average import avgseq
from transformers4recsys.model.encoders.core import Core
from transformers4recsys.model.encoders.gpt2 import gpt2
from transformers4recsys.model.encoders.huggingface import library_encoder
from transformers4recsys.model.encoders.library import transformers
from transformers4recsys.model.encoders.longformer import longformer
from transformers4recsys.model.encoders.pre_norm import ligr, sasrec
from transformers4recsys.model.encoders.pretrained import around_saved_weights, from_own_configuration, own_width
from transformers4recsys.model.encoders.recurrent import gru, gru4rec, lstm, rnn
from transformers4recsys.model.encoders.reformer import ReformerSettings, reformer
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.encoders.transformer_xl import transfoxl
from transformers4recsys.model.encoders.xlnet import xlnet
from transformers4recsys.model_types import BASELINE_NAMES
from transformers4recsys.outputs import Encoded
from transformers4recsys.settings import Parts, choose, parts, setting


class Encoder(Protocol):
    """Reads sessions, padded on the right, and gives a hidden state for each position.

    Position l of the answer may depend on positions 0 to l alone in the causal task, and on no padding in any.
    `padding_mask_BL` is True where there is an item; it is on the CPU, so that whoever counts with it keeps no device
    waiting: `moved` brings it to that of the inputs. `used_settings` names the fields of EncoderSettings, but width and
    length, and of settings of its own that have an effect on it: where another one is set, the user is warned. In the
    permuted task it is also given the order of the targets, (B, L), on the CPU.
    """

    used_settings: frozenset[str]

    def __call__(self, inputs_BLD: Tensor, padding_mask_BL: Tensor, *order_BL: Tensor) -> Encoded: ...


ENCODERS: dict[str, Callable[[EncoderSettings], Encoder]] = {
    "gpt2": gpt2,
    "xlnet": xlnet,
    "sasrec": sasrec,
    "ligr": ligr,
    "core": Core,
    "transfoxl": transfoxl,
    "reformer": reformer,
    "longformer": longformer,
    "gru": gru,
    "lstm": lstm,
    "rnn": rnn,
    "gru4rec": gru4rec,
    "avgseq": avgseq,
    "bert": library_encoder("bert"),
    "albert": library_encoder("albert"),
    "electra": library_encoder("electra"),
    "roberta": library_encoder("roberta"),
    "modernbert": library_encoder("modernbert"),
    "llama": library_encoder("llama"),
    "qwen3": library_encoder("qwen3"),
    "mamba": library_encoder("mamba", intermediate_size=lambda settings: 2 * settings.d_model),
}
# Of encoders that have settings of their own.
OWN_SETTINGS: tuple[type, ...] = (ReformerSettings,)


def encoder_of(name: str) -> Callable[[EncoderSettings], Encoder]:
    """Look an encoder up here, then among the architectures of the library; InputError if neither has it."""
    if name not in ENCODERS and name in transformers.CONFIG_MAPPING:
        return library_encoder(name)
    also = (
        f"the baselines {', '.join(BASELINE_NAMES)}, or an architecture of the transformers library by its model_type"
    )
    return choose(ENCODERS, name, "model_type", also=also)


@dataclass(frozen=True)
class EncoderChoice:
    """Model: which encoder, or which baseline, and what it starts from"""

    model_type: str = setting(
        "gpt2",
        "encoder, or a baseline",
        choices=lambda: (*ENCODERS, *BASELINE_NAMES),
        has_more_choices=True,
        if_changed="refuse",
    )
    model_name_or_path: str | None = setting(
        None, "start from saved weights: the output folder of a run, or a model of the transformers library"
    )
    config_name: str | None = setting(
        None, "name or folder of an architecture's own configuration", if_changed="refuse"
    )
    cache_dir: str | None = setting(
        None,
        "where downloaded weights and configurations are kept",
        used_if=lambda settings: settings.library_model is not None,
        unused_because="nothing is downloaded",
    )

    own: Parts = parts(lambda: OWN_SETTINGS)

    def __post_init__(self) -> None:
        if self.model_type not in BASELINE_NAMES:
            encoder_of(self.model_type)

    @property
    def library_model(self) -> str | None:
        """The library model whose own configuration decides the sizes, if there is one."""
        return self.model_name_or_path or self.config_name

    @property
    def name(self) -> str:
        """What the encoder is called in messages."""
        return self.library_model or self.model_type

    def width_and_encoder(self, d_model: int) -> tuple[int, Callable[[EncoderSettings], Encoder]]:
        """Give the width of the encoder, which its own configuration may decide, and what builds it."""
        name = self.library_model
        if name is None:
            return d_model, encoder_of(self.model_type)
        make = around_saved_weights if self.model_name_or_path else from_own_configuration
        return own_width(name, self.cache_dir), partial(make, name, self.cache_dir)
