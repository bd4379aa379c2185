"""Encoders by name: each reads (B, L, D) and answers (B, L, D)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from transformers4recsys.model.encoders.huggingface import gpt2
from transformers4recsys.model.encoders.recurrent import gru, lstm, rnn
from transformers4recsys.outputs import Encoded


class Encoder(Protocol):
    """Reads a session; position l of the answer may depend on positions 0..l alone in the causal task."""

    def __call__(self, inputs_BLD: Tensor, is_real_BL: Tensor) -> Encoded: ...


ENCODERS: dict[str, Callable[..., Encoder]] = {"gpt2": gpt2, "gru": gru, "lstm": lstm, "rnn": rnn}
