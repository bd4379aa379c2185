"""Longformer (Beltagy 2020): attention within a window, with its weights laid out for every pair of positions."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from transformers4recsys.model.encoders.huggingface import HuggingFaceEncoder, library_encoder
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded


class Longformer(nn.Module):
    """Runs the library's Longformer; each position sees half a window to either side."""

    def __init__(self, encoder: HuggingFaceEncoder, window: int):
        super().__init__()
        self.encoder, self.window = encoder, window
        self.used_settings = encoder.used_settings

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        length = padding_mask_BL.shape[1]
        missing = -length % self.window
        encoded = self.encoder(
            nn.functional.pad(inputs_BLD, (0, 0, 0, missing)), nn.functional.pad(padding_mask_BL, (0, missing))
        )
        attentions = None
        if encoded.attentions is not None:
            attentions = tuple(of_pairs(weights)[..., :length, :length] for weights in encoded.attentions)
        return dataclasses.replace(encoded, hidden=encoded.hidden[:, :length], attentions=attentions)


def of_pairs(weights_BHLW: Tensor) -> Tensor:
    """Lay the weights of a sliding window, relative to each position, out as (B, H, L, L)."""
    length, half = weights_BHLW.shape[2], weights_BHLW.shape[3] // 2
    offset_LL = torch.arange(length) - torch.arange(length)[:, None] + half
    is_seen_LL = (offset_LL >= 0) & (offset_LL <= 2 * half)
    at_LL = offset_LL.clamp(0, 2 * half).to(weights_BHLW.device).expand(*weights_BHLW.shape[:3], length)
    return weights_BHLW.gather(-1, at_LL) * is_seen_LL.to(weights_BHLW.device)


def longformer(settings: EncoderSettings) -> Longformer:
    """Make a Longformer whose window is the longest session, rounded up to an even number."""
    window = settings.max_length + settings.max_length % 2
    # Padded to whole windows, a session takes as many positions.
    sizes = dataclasses.replace(settings, max_length=window)
    return Longformer(library_encoder("longformer", attention_window=lambda _: window)(sizes), window)
