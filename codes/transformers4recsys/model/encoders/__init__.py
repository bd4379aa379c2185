"""Encoders by name: each reads (B, L, D) and answers (B, L, D)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.average import avgseq
from transformers4recsys.model.encoders.huggingface import library_encoder
from transformers4recsys.model.encoders.longformer import longformer
from transformers4recsys.model.encoders.pre_norm import ligr, sasrec
from transformers4recsys.model.encoders.recurrent import gru, gru4rec, lstm, rnn
from transformers4recsys.model.encoders.reformer import reformer
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.encoders.transformer_xl import transfoxl
from transformers4recsys.outputs import Encoded


class Encoder(Protocol):
    """Reads a session; position l of the answer may depend on positions 0..l alone in the causal task.

    `padding_mask_BL` is True where there is an item. `used_settings` names the settings that it has a use for, but
    for its width and length.
    """

    used_settings: frozenset[str]

    def __call__(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded: ...


ENCODERS: dict[str, Callable[[EncoderSettings], Encoder]] = {
    "gpt2": library_encoder("gpt2"),
    "xlnet": library_encoder("xlnet", mem_len=lambda _: None, use_mems_eval=lambda _: False),
    "sasrec": sasrec,
    "ligr": ligr,
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


def encoder_of(name: str) -> Callable[[EncoderSettings], Encoder]:
    """Look an encoder up here, then among the architectures of the library; InputError if neither has it."""
    if name in ENCODERS:
        return ENCODERS[name]
    if name in CONFIG_MAPPING:
        return library_encoder(name)
    raise InputError(
        f"--model_type {name!r} is unknown; choose one of {', '.join(sorted(ENCODERS))}, "
        "or an architecture of the transformers library by its model_type"
    )
