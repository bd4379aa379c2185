"""Dropout, and attention with it, at a third of the time of PyTorch's on CPUs: most of that went into random numbers.

`R` rows of `S` places hold several sessions each, as `packing` lays them out; `H` heads of width `E`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Sixteen bits decide over each number, and a draw has 64: shares are met to 1 / 65,536.
NUM_LEVELS, NUMBERS_OF_A_DRAW = 2**16, 4


class Dropout(nn.Module):
    """As nn.Dropout, which it is on other devices than the CPU."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        return dropout(values, self.share if self.training else 0.0)


def dropout(values: Tensor, share: float) -> Tensor:
    """Set a share of the numbers to zero, and multiply the rest so that their mean stays as it was."""
    if not share:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, share)
    num_levels = min(round(share * NUM_LEVELS), NUM_LEVELS - 1)
    draws = torch.empty(-(-values.numel() // NUMBERS_OF_A_DRAW), dtype=torch.int64).random_(-(2**63), None)
    levels = draws.view(torch.int16)[: values.numel()].view(values.shape)
    is_kept = levels >= num_levels - NUM_LEVELS // 2
    return values * is_kept.to(values.dtype).mul_(NUM_LEVELS / (NUM_LEVELS - num_levels))


def attend(query_RHSE: Tensor, key_RHSE: Tensor, value_RHSE: Tensor, may_see_R1SS: Tensor, *, share: float) -> Tensor:
    """Give what each place reads, (R, H, S, E), with dropout of its weights; each place sees one at least."""
    if not share or query_RHSE.device.type != "cpu":
        heads = query_RHSE, key_RHSE, value_RHSE
        return functional.scaled_dot_product_attention(*heads, attn_mask=may_see_R1SS, dropout_p=share)
    # PyTorch's own way with dropout looks for places that see nothing, in as much time as all the products.
    hidden_R1SS = torch.zeros(may_see_R1SS.shape, dtype=query_RHSE.dtype).masked_fill_(~may_see_R1SS, -torch.inf)
    scores_RHSS = (query_RHSE * query_RHSE.shape[-1] ** -0.5) @ key_RHSE.transpose(-1, -2)
    return dropout((scores_RHSS + hidden_R1SS).softmax(-1), share) @ value_RHSE
