"""Losses on similarities with the items of a negative column (prefix _neg_)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from transformers4recsys.errors import InputError
from transformers4recsys.model.objectives import fused
from transformers4recsys.model.objectives.candidates import PairwiseLoss, prepared
from transformers4recsys.model.objectives.catalogue import CatalogObjective
from transformers4recsys.model.objectives.inputs import Loss, LossInputs, LossSetup, WeightedSum
from transformers4recsys.model.scoring import upcast
from transformers4recsys.settings import Parts, check, choose, setting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NegativeColumnSettings:
    """Losses on negative columns: similarity with the items of a column _neg_ITEM"""

    similarity_type: str = setting(
        "concat_mlp",
        "for losses on negative columns",
        choices=lambda: SIMILARITIES,
        used_if=lambda settings: settings.neg_rescale_factor != 0,
        unused_because="no loss on negative columns is chosen (`neg_rescale_factor` is 0)",
    )
    neg_rescale_factor: float = setting(0.0, "weight of the loss on negative columns")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MarginSettings:
    """Margin of margin_hinge_a and margin_hinge_b"""

    margin_loss: float = setting(0.0, "margin of margin_hinge")


def margin_hinge_a(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, margin: float = 0.0) -> Tensor:
    """Mean over all pairs of 1 - s for a label and max(0, s - margin) for a negative, s their similarity."""
    return _hinge(positive_P, negative_PK, is_negative_PK, torch.ones_like(positive_P), margin)


def margin_hinge_b(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, margin: float = 0.0) -> Tensor:
    """Hinge as in `margin_hinge_a`, a label counting as much as all its negatives together."""
    return _hinge(positive_P, negative_PK, is_negative_PK, is_negative_PK.sum(dim=1), margin)


def _hinge(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, weights_P: Tensor, margin: float) -> Tensor:
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    of_labels = ((1 - positive_P1[:, 0]) * weights_P).sum()
    of_negatives = ((negative_PK - margin).relu() * is_negative_PK).sum()
    return (of_labels + of_negatives) / (len(positive_P) + is_negative_PK.sum()).clamp(min=1)


class ConcatMlp(nn.Module):
    """Similarity in (0, 1): a small network reads hidden state and item side by side."""

    def __init__(self, width: int):
        super().__init__()
        self.network = _small_network(2 * width, width)

    def forward(self, hidden_P1E: Tensor, items_PKE: Tensor) -> Tensor:
        pairs_PKF = torch.cat([hidden_P1E.expand_as(items_PKE), items_PKE], dim=-1)
        return self.network(pairs_PKF).squeeze(-1)


class MultiMlp(nn.Module):
    """Similarity in (0, 1): a small network reads the product of hidden state and item."""

    def __init__(self, width: int):
        super().__init__()
        self.network = _small_network(width, width)

    def forward(self, hidden_P1E: Tensor, items_PKE: Tensor) -> Tensor:
        return self.network(hidden_P1E * items_PKE).squeeze(-1)


class Cosine(nn.Module):
    """Similarity in [-1, 1]: the cosine of hidden state and item."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, hidden_P1E: Tensor, items_PKE: Tensor) -> Tensor:
        return cosine_similarity(upcast(hidden_P1E), upcast(items_PKE), dim=-1)


SIMILARITIES: dict[str, Callable[[int], nn.Module]] = {
    "concat_mlp": ConcatMlp,
    "multi_mlp": MultiMlp,
    "cosine": Cosine,
}


class NegativeColumnObjective(nn.Module):
    """A loss on the similarities of a hidden state with its label and with the items of the negative column."""

    reads_all_items = False

    def __init__(self, loss: PairwiseLoss, similarity: nn.Module):
        super().__init__()
        self.loss, self.similarity = loss, similarity

    def forward(self, inputs: LossInputs) -> Tensor:
        assert inputs.negatives_PK is not None, "make_objective() asks for a negative column"
        ids_PK = torch.cat([inputs.labels_P[:, None], inputs.negatives_PK], dim=1)
        similarity_PK = self.similarity(inputs.hidden_PE[:, None], inputs.items(ids_PK))
        is_negative_PK = (inputs.negatives_PK != 0) & (inputs.negatives_PK != inputs.labels_P[:, None])
        return self.loss(similarity_PK[:, 0], similarity_PK[:, 1:], is_negative_PK) + inputs.nothing()


def on_negative_column(function: PairwiseLoss) -> Loss:
    """Make an entry of OBJECTIVES of a loss on a negative column."""
    build = partial(_build, lambda own: function)
    return Loss("negative_column", function, build, (NegativeColumnSettings,), takes_label_smoothing=True)


def hinge_on_negative_column(function: PairwiseLoss) -> Loss:
    """Make an entry of OBJECTIVES of a loss on a negative column that takes a `margin`."""
    build = partial(_build, lambda own: partial(function, margin=own[MarginSettings].margin_loss))
    own = NegativeColumnSettings, MarginSettings
    return Loss("negative_column", function, build, own, _is_reading, takes_label_smoothing=True)


def _is_reading(settings_class: type, own: Parts) -> bool:
    return settings_class is not MarginSettings or own[NegativeColumnSettings].neg_rescale_factor != 0


def _build(function_of: Callable[[Parts], PairwiseLoss], setup: LossSetup) -> WeightedSum:
    settings, weights = setup.own[NegativeColumnSettings], setup.weights
    objectives: list[CatalogObjective | NegativeColumnObjective] = []
    factors: list[float] = []
    if weights.all_rescale_factor:
        objectives.append(CatalogObjective(partial(fused.fastest_cross_entropy, label_smoothing=setup.label_smoothing)))
        factors.append(weights.loss_scale_factor * weights.all_rescale_factor)
    if settings.neg_rescale_factor:
        if not setup.has_negative_column:
            raise InputError(
                "this `loss_type` with `neg_rescale_factor` needs a column of negative items: the feature config has "
                "none (prefix `feature_prefix_neg_sample` and the item's name, such as _neg_item_id)"
            )
        if not weights.all_rescale_factor and settings.similarity_type != "cosine":
            log.warning(
                "`all_rescale_factor` 0 with `similarity_type` %s: items are ranked by an inner product, which then "
                "learns next to nothing, and metrics stay near chance; choose `similarity_type` cosine, or "
                "`all_rescale_factor` 1 for a loss over the catalogue beside it",
                settings.similarity_type,
            )
        similarity = choose(SIMILARITIES, settings.similarity_type, "similarity_type")(setup.width)
        objectives.append(NegativeColumnObjective(function_of(setup.own), similarity))
        factors.append(weights.loss_scale_factor * settings.neg_rescale_factor)
    return WeightedSum(objectives, factors)


def _small_network(num_inputs: int, width: int) -> nn.Module:
    half, quarter = max(width // 2, 1), max(width // 4, 1)
    return nn.Sequential(
        nn.Linear(num_inputs, width),
        nn.LeakyReLU(),
        nn.Linear(width, half),
        nn.LeakyReLU(),
        nn.Linear(half, quarter),
        nn.LeakyReLU(),
        nn.Linear(quarter, 1),
        nn.Sigmoid(),
    )
