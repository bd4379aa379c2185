"""Whether an encoder is causal: whether it reads nothing that comes later in a session."""

from __future__ import annotations

import torch
from torch import nn


def is_causal(encoder: nn.Module, shape_1LD: tuple[int, int, int]) -> bool:
    """Find out by trying whether the last input leaves every hidden state before it as it is, to the bit."""
    _, length, d_model = shape_1LD
    inputs_BLD = torch.randn(2, length, d_model, generator=torch.Generator().manual_seed(0))
    inputs_BLD[1, :-1] = inputs_BLD[0, :-1]
    padding_mask_BL = torch.ones(1, length, dtype=torch.bool)
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad():
        first_LD, second_LD = (encoder(inputs_LD[None], padding_mask_BL).hidden[0, :-1] for inputs_LD in inputs_BLD)
    encoder.train(was_training)
    return torch.equal(first_LD, second_LD)
