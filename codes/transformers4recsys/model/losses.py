"""Losses: pure functions of hidden states, the item table and the labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CatalogLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def cross_entropy(
    hidden_PE: Tensor, item_table_VE: Tensor, bias_V: Tensor, labels_P: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of the labels under the softmax over all items but padding.

    `bias_V` is -inf for padding. With smoothing, that share of the target is spread evenly over the
    items (Szegedy 2016, section 7), again without padding. No label at all: 0.
    """
    if not len(labels_P):
        return hidden_PE.sum() * 0
    scores_PV = torch.nn.functional.linear(hidden_PE, item_table_VE, bias_V).float()
    loss_P = torch.nn.functional.cross_entropy(scores_PV, labels_P, reduction="none")
    if label_smoothing:
        mean_over_items_P = torch.logsumexp(scores_PV, dim=1) - scores_PV[:, 1:].mean(dim=1)
        loss_P = (1 - label_smoothing) * loss_P + label_smoothing * mean_over_items_P
    return loss_P.mean()


CATALOG_LOSSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": cross_entropy}
