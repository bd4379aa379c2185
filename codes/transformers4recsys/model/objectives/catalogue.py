"""Losses over the whole catalogue: f(hidden_PE, item_table_VE, bias_V, labels_P) -> loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from transformers4recsys.model.objectives.inputs import Loss, LossInputs, LossSetup, WeightedSum
from transformers4recsys.model.scoring import upcast
from transformers4recsys.settings import as_values

CatalogLoss = Callable[..., Tensor]


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


class CatalogObjective(nn.Module):
    """A loss over the whole catalogue."""

    reads_all_items = True

    def __init__(self, loss: CatalogLoss):
        super().__init__()
        self.loss = loss

    def forward(self, inputs: LossInputs) -> Tensor:
        if inputs.shards is not None:
            return self.loss(inputs.hidden_PE, *inputs.catalogue(), shards=inputs.shards)
        if not len(inputs.labels_P):
            return inputs.nothing()
        return self.loss(inputs.hidden_PE, *inputs.catalogue())


def over_catalogue(function: CatalogLoss, *settings: type, takes_label_smoothing: bool = False) -> Loss:
    """Make an entry of OBJECTIVES of a loss over the catalogue.

    The fields of its `settings` classes are keyword arguments of the function, as `label_smoothing` is on request.
    """

    def build(setup: LossSetup) -> WeightedSum:
        own = {name: value for each in settings for name, value in as_values(setup.own[each]).items()}
        if takes_label_smoothing:
            own["label_smoothing"] = setup.label_smoothing
        objective = CatalogObjective(partial(function, **own))
        return WeightedSum([objective], [setup.weights.loss_scale_factor * setup.weights.all_rescale_factor])

    return Loss("catalogue", function, build, settings, takes_label_smoothing=takes_label_smoothing)
