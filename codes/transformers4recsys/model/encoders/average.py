"""The running mean of a session: the simplest encoder, and a floor for the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded


class RunningMean(nn.Module):
    """Answers at each position the mean of all inputs up to it."""

    used_settings: frozenset[str] = frozenset()

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        num_so_far_L = torch.arange(1, inputs_BLD.shape[1] + 1, device=inputs_BLD.device)
        return Encoded(inputs_BLD.cumsum(1) / num_so_far_L[:, None])


def avgseq(settings: EncoderSettings) -> RunningMean:
    """Make the running mean; it has no sizes."""
    return RunningMean()
