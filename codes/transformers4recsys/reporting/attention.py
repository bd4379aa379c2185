"""Attention weights in attention_weights/: a safetensors file an evaluation step."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from transformers4recsys import distributed
from transformers4recsys.settings import setting

ATTENTION_WEIGHTS = "attention_weights"


@dataclass(frozen=True)
class AttentionSettings:
    """Attention weights: whether they are kept"""

    log_attention_weights: bool = setting(False, "write attention weights of evaluation batches to attention_weights/")


class AttentionFiles:
    """Writes `date_YYYY-MM-DD_step_NNNNNN.safetensors`: `inputs` (B, L) item ids, `layer_N` (B, H, L, L) from 0.

    The first process writes its own batches; they are for looking at, not for counting.
    """

    def __init__(self, output_dir: Path):
        self._folder = output_dir / ATTENTION_WEIGHTS
        self._num_steps: Counter[str] = Counter()

    def write(self, day: str, item_ids_BL: Tensor, attentions: Sequence[Tensor]) -> None:
        """Write the next step of a day; a day that is done again starts from step 0."""
        if not distributed.is_main():
            return
        step = self._num_steps[day]
        self._num_steps[day] += 1
        layers = {f"layer_{layer}": weights.contiguous() for layer, weights in enumerate(attentions)}
        tensors = {"inputs": item_ids_BL.contiguous()} | layers
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"date_{day}_step_{step:06d}.safetensors"
        aside = path.with_name(f".{path.name}.tmp")
        save_file(tensors, aside, {"day": day, "step": str(step)})
        os.replace(aside, path)
