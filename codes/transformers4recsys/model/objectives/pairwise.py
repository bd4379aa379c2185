"""Pairwise losses on scores of the targets of other sessions and of popular items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from transformers4recsys.errors import InputError
from transformers4recsys.model.negatives import NegativeStore, StoreSettings, of_other_sessions
from transformers4recsys.model.objectives.candidates import NEVER, PairwiseLoss, mean, prepared
from transformers4recsys.model.objectives.inputs import Loss, LossInputs, LossSetup, WeightedSum
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class InBatchSettings:
    """Pairwise losses: against the targets of other sessions, and extra items"""

    negative_sampling: bool = setting(False, "pairwise loss against items of the other sessions in the batch")
    neg_sampling_extra_samples_per_batch: int = setting(32, "extra negatives a batch", at_least=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RegularisationSettings:
    """Regularisation of bpr_max_reg and top1_max_reg"""

    bpr_max_reg_lambda: float = setting(0.0, "weight of the squared scores of negatives in bpr_max_reg, top1_max_reg")


def top1(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Mean over the negatives of sigma(n - p) + sigma(n^2) (Hidasi 2016, section 3.2.2)."""
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    return mean(_mean_over_negatives(_top1_terms(positive_P1, negative_PK), is_negative_PK), is_negative_PK)


def top1_max(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, regularisation: float = 0.0) -> Tensor:
    """Weigh the terms of TOP1 by the softmax over the negatives (Hidasi and Karatzoglou 2018, equation 9).

    `regularisation` adds that many times the squared scores of the negatives, weighted alike.
    """
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    weights_PK = _log_softmax(negative_PK, is_negative_PK).exp()
    terms_PK = _top1_terms(positive_P1, negative_PK) + regularisation * negative_PK.square()
    return mean((weights_PK * terms_PK).sum(dim=1), is_negative_PK)


def bpr(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    """Mean over the negatives of -log sigma(p - n), that the label outranks each (Rendle 2009)."""
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    return mean(_mean_over_negatives(softplus(negative_PK - positive_P1), is_negative_PK), is_negative_PK)


def bpr_max(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, regularisation: float = 0.0) -> Tensor:
    """Take -log of the softmax-weighted sum of sigma(p - n) (Hidasi and Karatzoglou 2018, equations 12 and 13).

    `regularisation` adds that many times the squared scores of the negatives, weighted alike.
    """
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    log_weights_PK = _log_softmax(negative_PK, is_negative_PK)
    loss_P = -torch.logsumexp(log_weights_PK + logsigmoid(positive_P1 - negative_PK), dim=1)
    squares_P = (log_weights_PK.exp() * negative_PK.square()).sum(dim=1)
    return mean(loss_P + regularisation * squares_P, is_negative_PK)


def _log_softmax(negative_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    return negative_PK.masked_fill(~is_negative_PK, NEVER).log_softmax(dim=1)


def _top1_terms(positive_P1: Tensor, negative_PK: Tensor) -> Tensor:
    return torch.sigmoid(negative_PK - positive_P1) + torch.sigmoid(negative_PK.square())


def _mean_over_negatives(terms_PK: Tensor, is_negative_PK: Tensor) -> Tensor:
    return (terms_PK * is_negative_PK).sum(dim=1) / is_negative_PK.sum(dim=1).clamp(min=1)


class InBatchObjective(nn.Module):
    """A pairwise loss against the targets of the other sessions in the batch, and extra items from a store."""

    reads_all_items = False

    def __init__(self, loss: PairwiseLoss, store: NegativeStore, *, num_extra: int):
        super().__init__()
        self.loss, self.store, self.num_extra = loss, store, num_extra

    def forward(self, inputs: LossInputs) -> Tensor:
        if not len(inputs.labels_P):
            return inputs.nothing()
        extra_ids = self.store.sample(self.num_extra, inputs.item_counts_V)
        is_other_PP = of_other_sessions(inputs.labels_P, inputs.row_P)
        is_negative_PK = torch.cat([is_other_PP, inputs.labels_P[:, None] != extra_ids], dim=1)
        negative_PK = inputs.scores_of(torch.cat([inputs.labels_P, extra_ids]))
        return self.loss(inputs.label_scores(), negative_PK, is_negative_PK)


def in_batch(function: PairwiseLoss) -> Loss:
    """Make an entry of OBJECTIVES of a pairwise loss."""
    return Loss("in_batch", function, lambda setup: _build(function, setup), (InBatchSettings, StoreSettings))


def in_batch_regularised(function: PairwiseLoss) -> Loss:
    """Make an entry of OBJECTIVES of a pairwise loss that takes `regularisation`."""

    def build(setup: LossSetup) -> WeightedSum:
        return _build(partial(function, regularisation=setup.own[RegularisationSettings].bpr_max_reg_lambda), setup)

    return Loss("in_batch", function, build, (InBatchSettings, StoreSettings, RegularisationSettings))


def _build(function: PairwiseLoss, setup: LossSetup) -> WeightedSum:
    settings = setup.own[InBatchSettings]
    if not settings.negative_sampling:
        raise InputError(
            "this `loss_type` compares with items of other sessions: add `negative_sampling`, or choose another one, "
            "such as cross_entropy or sampled_softmax"
        )
    store = NegativeStore.of("seen", setup.own[StoreSettings], seed=setup.seed)
    objective = InBatchObjective(function, store, num_extra=settings.neg_sampling_extra_samples_per_batch)
    return WeightedSum([objective], [setup.weights.loss_scale_factor * setup.weights.all_rescale_factor])
