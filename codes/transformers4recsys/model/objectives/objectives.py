"""From hidden states and labels to a loss: over the catalogue, on shared negatives, on negative columns, or a sum."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding, linear

from transformers4recsys.errors import InputError
from transformers4recsys.model.negatives import SAMPLERS, NegativeStore, of_other_sessions
from transformers4recsys.model.objectives.losses import (
    CATALOG_LOSSES,
    NEGATIVE_COLUMN_LOSSES,
    PAIRWISE_LOSSES,
    CatalogLoss,
    PairwiseLoss,
    gbce,
    gbce_beta,
    softmax_of_candidates,
    upcast,
)
from transformers4recsys.model.scoring import without_padding

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LossInputs:
    """All that an objective may need of P predictions."""

    hidden_PE: Tensor
    labels_P: Tensor
    row_P: Tensor  # the session of each prediction
    item_table_VE: Tensor
    item_bias_V1: Tensor
    item_counts_V: Tensor  # how often each item stood in the training sessions so far
    negatives_PK: Tensor | None = None  # ids of the negative column at each label, 0 where there is none
    has_sparse_gradients: bool = False  # of table and bias: of the rows that were read alone

    @property
    def bias_V(self) -> Tensor:
        """The bias of every item, -inf for padding."""
        return without_padding(self.item_bias_V1[:, 0])

    def items(self, ids: Tensor) -> Tensor:
        """Read rows of the item table, (..., E)."""
        return embedding(ids, self.item_table_VE, sparse=self.has_sparse_gradients)

    def biases(self, ids_K: Tensor) -> Tensor:
        """Read the biases of some items, none of them padding, (K,)."""
        return embedding(ids_K, self.item_bias_V1, sparse=self.has_sparse_gradients)[:, 0]

    def label_scores(self) -> Tensor:
        """Score the labels alone, (P,)."""
        of_items_P = (upcast(self.hidden_PE) * upcast(self.items(self.labels_P))).sum(dim=1)
        return of_items_P + self.biases(self.labels_P)

    def scores_of(self, ids_K: Tensor) -> Tensor:
        """Score the same K items for each prediction, (P, K), touching only their rows of the table."""
        return linear(self.hidden_PE, self.items(ids_K), self.biases(ids_K).to(self.hidden_PE.dtype))

    def nothing(self) -> Tensor:
        """Give 0, with a gradient of 0 for all that a loss would reach."""
        no_id = self.labels_P[:0]
        return (self.hidden_PE.sum() + self.items(no_id).sum() + self.biases(no_id).sum()) * 0


class Objective(Protocol):
    """Gives the loss of a training batch; says whether it reads the rows of all items for it, or of some."""

    reads_all_items: bool

    def __call__(self, inputs: LossInputs) -> Tensor: ...


class CatalogObjective(nn.Module):
    """A loss over the whole catalogue."""

    reads_all_items = True

    def __init__(self, loss: CatalogLoss):
        super().__init__()
        self.loss = loss

    def forward(self, inputs: LossInputs) -> Tensor:
        if not len(inputs.labels_P):
            return inputs.nothing()
        return self.loss(inputs.hidden_PE, inputs.item_table_VE, inputs.bias_V, inputs.labels_P)


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


class SampledObjective(nn.Module):
    """A loss against items drawn from the catalogue, the same for all predictions of a batch.

    With `corrects_scores`, log(K q) is taken off the score of an item drawn with probability q: then the sum over
    the K drawn ones estimates the sum over the catalogue (Bengio and Senecal 2008; Jean 2015). `offset` is added to
    all scores: it changes no ranking, but where the loss wants them to begin.
    """

    reads_all_items = False

    def __init__(
        self,
        loss: PairwiseLoss,
        store: NegativeStore,
        *,
        num_negatives: int,
        corrects_scores: bool = False,
        offset: float = 0.0,
    ):
        super().__init__()
        self.loss, self.store = loss, store
        self.num_negatives, self.corrects_scores, self.offset = num_negatives, corrects_scores, offset

    def forward(self, inputs: LossInputs) -> Tensor:
        if not len(inputs.labels_P):
            return inputs.nothing()
        ids_K = self.store.sample(self.num_negatives, inputs.item_counts_V)
        negative_PK = upcast(inputs.scores_of(ids_K)) + self.offset
        if self.corrects_scores:
            expected_count_K = self.store.log_probabilities_V[ids_K].exp() * self.num_negatives
            negative_PK = negative_PK - expected_count_K.log()
        return self.loss(inputs.label_scores() + self.offset, negative_PK, inputs.labels_P[:, None] != ids_K)


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


class WeightedSum(nn.Module):
    """The sum of some objectives, each times its weight."""

    def __init__(self, objectives: Sequence[nn.Module], weights: Sequence[float]):
        super().__init__()
        self.objectives, self.weights = nn.ModuleList(objectives), tuple(weights)
        self.reads_all_items = any(each.reads_all_items for each in objectives)

    def forward(self, inputs: LossInputs) -> Tensor:
        losses = [weight * of(inputs) for of, weight in zip(self.objectives, self.weights, strict=True)]
        return torch.stack(losses).sum()


@dataclass(frozen=True)
class ObjectiveSettings:
    """What objectives are built from, by the names of the flags; `width` and `num_items` are the item table's."""

    width: int
    num_items: int
    has_negative_column: bool = False
    label_smoothing: float = 0.0
    all_rescale_factor: float = 1.0
    neg_rescale_factor: float = 0.0
    loss_scale_factor: float = 1.0
    similarity_type: str = "concat_mlp"
    margin_loss: float = 0.0
    negative_sampling: bool = False
    neg_sampling_store_size: int = 1_000_000
    neg_sampling_extra_samples_per_batch: int = 32
    neg_sampling_alpha: float = 0.0
    bpr_max_reg_lambda: float = 0.0
    num_sampled_negatives: int = 256
    gbce_t: float = 0.75
    seed: int = 0

    def options_of(self, loss_type: str) -> Mapping[str, float]:
        """Give the further arguments of a loss function."""
        regularisation, margin = {"regularisation": self.bpr_max_reg_lambda}, {"margin": self.margin_loss}
        options = {
            "cross_entropy": {"label_smoothing": self.label_smoothing},
            "bpr_max_reg": regularisation,
            "top1_max_reg": regularisation,
            "margin_hinge_a": margin,
            "margin_hinge_b": margin,
        }
        return options.get(loss_type, {})


def make_objective(loss_type: str, settings: ObjectiveSettings) -> WeightedSum:
    """Build the objective that a name stands for; InputError where it is unknown or lacks what it needs."""
    if loss_type not in OBJECTIVES:
        raise InputError(f"--loss_type {loss_type!r} is unknown; choose one of {', '.join(sorted(OBJECTIVES))}")
    if settings.num_sampled_negatives < 1:
        raise InputError(f"--num_sampled_negatives {settings.num_sampled_negatives}: must be at least 1")
    if not 0 <= settings.gbce_t <= 1:
        raise InputError(f"--gbce_t {settings.gbce_t}: must be from 0 to 1")
    objective = OBJECTIVES[loss_type](loss_type, settings)
    if not any(objective.weights):
        raise InputError(
            "the loss is 0 whatever is predicted: --loss_scale_factor, --all_rescale_factor or "
            "--neg_rescale_factor must not be 0"
        )
    return objective


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


def _over_catalogue(loss_type: str, settings: ObjectiveSettings) -> WeightedSum:
    loss = partial(CATALOG_LOSSES[loss_type], **settings.options_of(loss_type))
    return WeightedSum([CatalogObjective(loss)], [settings.loss_scale_factor * settings.all_rescale_factor])


def _in_batch(loss_type: str, settings: ObjectiveSettings) -> WeightedSum:
    if not settings.negative_sampling:
        raise InputError(
            f"--loss_type {loss_type} compares with items of other sessions: add --negative_sampling, "
            f"or choose one of {', '.join(sorted({*CATALOG_LOSSES, *SAMPLED_OBJECTIVES}))}"
        )
    loss = partial(PAIRWISE_LOSSES[loss_type], **settings.options_of(loss_type))
    objective = InBatchObjective(
        loss, _store("seen", settings), num_extra=settings.neg_sampling_extra_samples_per_batch
    )
    return WeightedSum([objective], [settings.loss_scale_factor * settings.all_rescale_factor])


def _store(sampler: str, settings: ObjectiveSettings) -> NegativeStore:
    return NegativeStore(
        SAMPLERS[sampler],
        alpha=settings.neg_sampling_alpha,
        size=settings.neg_sampling_store_size,
        seed=settings.seed,
    )


def _sampled_softmax(settings: ObjectiveSettings) -> SampledObjective:
    num_negatives = settings.num_sampled_negatives
    return SampledObjective(
        softmax_of_candidates, _store("all", settings), num_negatives=num_negatives, corrects_scores=True
    )


def _gbce(settings: ObjectiveSettings) -> SampledObjective:
    num_negatives = settings.num_sampled_negatives
    beta = gbce_beta(num_negatives=num_negatives, num_items=settings.num_items - 1, t=settings.gbce_t)
    # Scores of 0 begin at the odds beta : K of a label; else a first phase lowers all alike and saturates the encoder.
    offset = math.log(beta / num_negatives)
    return SampledObjective(
        partial(gbce, beta=beta), _store("all", settings), num_negatives=num_negatives, offset=offset
    )


SAMPLED_OBJECTIVES: dict[str, Callable[[ObjectiveSettings], SampledObjective]] = {
    "sampled_softmax": _sampled_softmax,
    "gbce": _gbce,
}


def _sampled(loss_type: str, settings: ObjectiveSettings) -> WeightedSum:
    objective = SAMPLED_OBJECTIVES[loss_type](settings)
    return WeightedSum([objective], [settings.loss_scale_factor * settings.all_rescale_factor])


def _on_negative_column(loss_type: str, settings: ObjectiveSettings) -> WeightedSum:
    objectives, weights = [], []
    if settings.all_rescale_factor:
        objectives.append(
            CatalogObjective(partial(CATALOG_LOSSES["cross_entropy"], label_smoothing=settings.label_smoothing))
        )
        weights.append(settings.loss_scale_factor * settings.all_rescale_factor)
    if settings.neg_rescale_factor:
        if not settings.has_negative_column:
            raise InputError(
                f"--loss_type {loss_type} with --neg_rescale_factor needs a column of negative items: the feature "
                "config has none (prefix --feature_prefix_neg_sample and the item's name, such as _neg_item_id)"
            )
        if settings.similarity_type not in SIMILARITIES:
            raise InputError(
                f"--similarity_type {settings.similarity_type!r} is unknown; choose one of {', '.join(SIMILARITIES)}"
            )
        if not settings.all_rescale_factor and settings.similarity_type != "cosine":
            log.warning(
                "--all_rescale_factor 0 with --similarity_type %s: items are ranked by an inner product, which then "
                "learns next to nothing, and metrics stay near chance; choose --similarity_type cosine, or "
                "--all_rescale_factor 1 for a loss over the catalogue beside it",
                settings.similarity_type,
            )
        loss = partial(NEGATIVE_COLUMN_LOSSES[loss_type], **settings.options_of(loss_type))
        similarity = SIMILARITIES[settings.similarity_type](settings.width)
        objectives.append(NegativeColumnObjective(loss, similarity))
        weights.append(settings.loss_scale_factor * settings.neg_rescale_factor)
    return WeightedSum(objectives, weights)


OBJECTIVES: dict[str, Callable[[str, ObjectiveSettings], WeightedSum]] = {
    **dict.fromkeys(CATALOG_LOSSES, _over_catalogue),
    **dict.fromkeys(PAIRWISE_LOSSES, _in_batch),
    **dict.fromkeys(SAMPLED_OBJECTIVES, _sampled),
    **dict.fromkeys(NEGATIVE_COLUMN_LOSSES, _on_negative_column),
}
