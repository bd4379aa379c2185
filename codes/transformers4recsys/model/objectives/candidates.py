"""Scores of labels and of their candidates: what losses on them share, stable in half precision.

A loss on candidates is f(positive_P, negative_PK, is_negative_PK) -> loss: P scores of labels, and those of K
candidates for each, of which only some are negatives. Its mean is over the predictions that have a negative; with none
at all the loss is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from transformers4recsys.model.scoring import upcast

PairwiseLoss = Callable[..., Tensor]

# Stands for minus infinity: its softmax is 0 as well, but a row of nothing else has no NaN gradient.
NEVER = -1e30


def softmax_of_candidates(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Mean negative log-likelihood of the label under the softmax over it and its negatives."""
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    log_total_P = torch.logsumexp(negative_PK.masked_fill(~is_negative_PK, NEVER), dim=1)
    return mean(softplus(log_total_P - positive_P1[:, 0]), is_negative_PK)


def prepared(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> tuple[Tensor, Tensor]:
    """Give (P, 1) and (P, K) in full precision, 0 where there is no negative."""
    return upcast(positive_P)[:, None], upcast(negative_PK).masked_fill(~is_negative_PK, 0.0)


def mean(loss_P: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Average over the predictions that have a negative."""
    has_negative_P = is_negative_PK.any(dim=1)
    return loss_P.masked_fill(~has_negative_P, 0.0).sum() / has_negative_P.sum().clamp(min=1)
