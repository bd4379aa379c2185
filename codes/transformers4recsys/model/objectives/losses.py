"""Losses: pure functions of scores and labels, stable in half precision.

A catalogue loss reads hidden states, item table, bias and labels; all others are f(positive_P, negative_PK,
is_negative_PK) -> loss: P scores of labels, and those of K candidates for each, of which only some are negatives.
Their mean is over the predictions that have a negative; with none at all the loss is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid, softplus

from transformers4recsys.model.objectives import chunked

CatalogLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
PairwiseLoss = Callable[..., Tensor]

# Stands for minus infinity: its softmax is 0 as well, but a row of nothing else has no NaN gradient.
NEVER = -1e30


def cross_entropy(
    hidden_PE: Tensor, item_table_VE: Tensor, bias_V: Tensor, labels_P: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of the labels under the softmax over all items but padding.

    `bias_V` is -inf for padding. With smoothing, that share of the target is spread evenly over the
    items (Szegedy 2016, section 7), again without padding. No label at all: 0.
    """
    if not len(labels_P):
        return hidden_PE.sum() * 0
    scores_PV = upcast(linear(hidden_PE, item_table_VE, bias_V))
    loss_P = torch.nn.functional.cross_entropy(scores_PV, labels_P, reduction="none")
    if label_smoothing:
        mean_over_items_P = torch.logsumexp(scores_PV, dim=1) - scores_PV[:, 1:].mean(dim=1)
        loss_P = (1 - label_smoothing) * loss_P + label_smoothing * mean_over_items_P
    return loss_P.mean()


def top1(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Mean over the negatives of sigma(n - p) + sigma(n^2) (Hidasi 2016, section 3.2.2)."""
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    return _mean(_mean_over_negatives(_top1_terms(positive_P1, negative_PK), is_negative_PK), is_negative_PK)


def top1_max(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, regularisation: float = 0.0) -> Tensor:
    """Weigh the terms of TOP1 by the softmax over the negatives (Hidasi and Karatzoglou 2018, equation 9).

    `regularisation` adds that many times the squared scores of the negatives, weighted alike.
    """
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    weights_PK = _log_softmax(negative_PK, is_negative_PK).exp()
    terms_PK = _top1_terms(positive_P1, negative_PK) + regularisation * negative_PK.square()
    return _mean((weights_PK * terms_PK).sum(dim=1), is_negative_PK)


def bpr(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Mean over the negatives of -log sigma(p - n), that the label outranks each (Rendle 2009)."""
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    return _mean(_mean_over_negatives(softplus(negative_PK - positive_P1), is_negative_PK), is_negative_PK)


def bpr_max(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, regularisation: float = 0.0) -> Tensor:
    """Take -log of the softmax-weighted sum of sigma(p - n) (Hidasi and Karatzoglou 2018, equations 12 and 13).

    `regularisation` adds that many times the squared scores of the negatives, weighted alike.
    """
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    log_weights_PK = _log_softmax(negative_PK, is_negative_PK)
    loss_P = -torch.logsumexp(log_weights_PK + logsigmoid(positive_P1 - negative_PK), dim=1)
    squares_P = (log_weights_PK.exp() * negative_PK.square()).sum(dim=1)
    return _mean(loss_P + regularisation * squares_P, is_negative_PK)


def softmax_of_candidates(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Mean negative log-likelihood of the label under the softmax over it and its negatives."""
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    log_total_P = torch.logsumexp(negative_PK.masked_fill(~is_negative_PK, NEVER), dim=1)
    return _mean(softplus(log_total_P - positive_P1[:, 0]), is_negative_PK)


def gbce(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, beta: float = 1.0) -> Tensor:
    """Binary cross-entropy with sigma(p)^beta as the label's probability (Petrov and Macdonald 2023, equation 9)."""
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    of_negatives_P = (softplus(negative_PK) * is_negative_PK).sum(dim=1)
    loss_P = (beta * softplus(-positive_P1[:, 0]) + of_negatives_P) / (1 + is_negative_PK.sum(dim=1))
    return _mean(loss_P, is_negative_PK)


def gbce_beta(*, num_negatives: int, num_items: int, t: float) -> float:
    """Give the power beta of gBCE (Petrov and Macdonald 2023, equation 11).

    `t` = 0 is plain binary cross-entropy, `t` = 1 undoes all the overconfidence that sampling brings.
    """
    sampling_rate = min(num_negatives / max(num_items - 1, 1), 1.0)
    return sampling_rate * (t * (1 - 1 / sampling_rate) + 1 / sampling_rate)


def margin_hinge_a(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, margin: float = 0.0) -> Tensor:
    """Mean over all pairs of 1 - s for a label and max(0, s - margin) for a negative, s their similarity."""
    return _hinge(positive_P, negative_PK, is_negative_PK, torch.ones_like(positive_P), margin)


def margin_hinge_b(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, margin: float = 0.0) -> Tensor:
    """Hinge as in `margin_hinge_a`, a label counting as much as all its negatives together."""
    return _hinge(positive_P, negative_PK, is_negative_PK, is_negative_PK.sum(dim=1), margin)


# The plain cross entropy above is the twin of the one that is used.
CATALOG_LOSSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": chunked.cross_entropy}
# On scores of the targets of other sessions and of popular items.
PAIRWISE_LOSSES: dict[str, PairwiseLoss] = {
    "top1": top1,
    "top1_max": top1_max,
    "top1_max_reg": top1_max,
    "bpr": bpr,
    "bpr_max": bpr_max,
    "bpr_max_reg": bpr_max,
}
# On similarities with the items of a negative column; the older program had two names for one formula.
NEGATIVE_COLUMN_LOSSES: dict[str, PairwiseLoss] = {
    "cross_entropy_neg": softmax_of_candidates,
    "cross_entropy_neg_1d": softmax_of_candidates,
    "margin_hinge_a": margin_hinge_a,
    "margin_hinge_b": margin_hinge_b,
}


def upcast(scores: Tensor) -> Tensor:
    """Leave half precision: squares and sums of scores do not fit there."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def _prepared(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> tuple[Tensor, Tensor]:
    """Give (P, 1) and (P, K) in full precision, 0 where there is no negative."""
    return upcast(positive_P)[:, None], upcast(negative_PK).masked_fill(~is_negative_PK, 0.0)


def _log_softmax(negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    return negative_PK.masked_fill(~is_negative_PK, NEVER).log_softmax(dim=1)


def _top1_terms(positive_P1: Tensor, negative_PK: Tensor) -> Tensor:
    return torch.sigmoid(negative_PK - positive_P1) + torch.sigmoid(negative_PK.square())


def _mean_over_negatives(terms_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    return (terms_PK * is_negative_PK).sum(dim=1) / is_negative_PK.sum(dim=1).clamp(min=1)


def _mean(loss_P: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Average over the predictions that have a negative."""
    has_negative_P = is_negative_PK.any(dim=1)
    return loss_P.masked_fill(~has_negative_P, 0.0).sum() / has_negative_P.sum().clamp(min=1)


def _hinge(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, weights_P: Tensor, margin: float) -> Tensor:
    positive_P1, negative_PK = _prepared(positive_P, negative_PK, is_negative_PK)
    of_labels = ((1 - positive_P1[:, 0]) * weights_P).sum()
    of_negatives = ((negative_PK - margin).relu() * is_negative_PK).sum()
    return (of_labels + of_negatives) / (len(positive_P) + is_negative_PK.sum()).clamp(min=1)
