"""CORE (Hou 2022): a session is a weighted mean of its items' own vectors, and a Transformer chooses the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transformers4recsys.model.encoders.gpt2 import GPT2, gpt2
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded


class Core(nn.Module):
    """Weighs the inputs up to each position by what GPT-2 makes of them; no position sees a later one.

    The answer stays where the inputs are: with tied tables and cosines, sessions and items share one space.
    """

    used_settings: frozenset[str] = GPT2.used_settings

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.transformer = gpt2(settings)
        # A softmax does not see what all positions share, so this bias has a gradient of rounding alone.
        self.transformer.model.ln_f.bias.requires_grad_(False)
        self.weigh = nn.Linear(settings.d_model, 1, bias=False)

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        encoded = self.transformer(inputs_BLD, padding_mask_BL)
        place_L = torch.arange(inputs_BLD.shape[1], device=inputs_BLD.device)
        logits_B1L = self.weigh(encoded.hidden).transpose(1, 2)
        weights_BLL = logits_B1L.masked_fill(place_L > place_L[:, None], -torch.inf).softmax(-1)
        return Encoded(weights_BLL.to(inputs_BLD.dtype) @ inputs_BLD, encoded.attentions)
