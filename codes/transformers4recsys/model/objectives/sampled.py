"""Losses against items drawn from the catalogue, the same for all predictions of a batch or others for each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import softplus

from transformers4recsys.model.negatives import NegativeStore, StoreSettings
from transformers4recsys.model.objectives.candidates import PairwiseLoss, mean, prepared, softmax_of_candidates
from transformers4recsys.model.objectives.inputs import Loss, LossInputs, LossSetup, WeightedSum
from transformers4recsys.model.scoring import upcast
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class SampledSettings:
    """Sampled losses: against items drawn from the catalogue"""

    num_sampled_negatives: int = setting(256, "negatives of sampled_softmax and gbce", at_least=1)
    sampled_negatives_per: str = setting(
        "batch", "whether a batch shares its negatives or each position has its own", choices=("batch", "position")
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LogQSettings:
    """Correction of sampled_softmax"""

    log_q_correction: bool = setting(True, "take off each drawn item's score the logarithm of how often it is drawn")


@dataclass(frozen=True)
class GbceSettings:
    """Calibration of gbce"""

    gbce_t: float = setting(0.75, "calibration of gbce: 0 none, 1 full", at_least=0, at_most=1)

    def __post_init__(self) -> None:
        check(self)


def gbce(positive_P: Tensor, negative_PK: Tensor, is_negative_PK: Tensor, *, beta: float = 1.0) -> Tensor:
    """Binary cross-entropy with sigma(p)^beta as the label's probability (Petrov and Macdonald 2023, equation 9)."""
    positive_P1, negative_PK = prepared(positive_P, negative_PK, is_negative_PK)
    of_negatives_P = (softplus(negative_PK) * is_negative_PK).sum(dim=1)
    loss_P = (beta * softplus(-positive_P1[:, 0]) + of_negatives_P) / (1 + is_negative_PK.sum(dim=1))
    return mean(loss_P, is_negative_PK)


def gbce_beta(*, num_negatives: int, num_items: int, t: float) -> float:
    """Give the power beta of gBCE (Petrov and Macdonald 2023, equation 11).

    `t` = 0 is plain binary cross-entropy, `t` = 1 undoes all the overconfidence that sampling brings.
    """
    sampling_rate = min(num_negatives / max(num_items - 1, 1), 1.0)
    return sampling_rate * (t * (1 - 1 / sampling_rate) + 1 / sampling_rate)


class SampledObjective(nn.Module):
    """A loss against items drawn from the catalogue, the same for all predictions of a batch.

    With `has_own` each prediction has negatives of its own. With `corrects_scores`, log(K q) is taken off the score of
    an item drawn with probability q: then the sum over the K drawn ones estimates the sum over the catalogue (Bengio
    and Senecal 2008; Jean 2015). `offset` is added to all scores: it changes no ranking, but where the loss wants them
    to begin.
    """

    reads_all_items = False

    def __init__(
        self,
        loss: PairwiseLoss,
        store: NegativeStore,
        *,
        num_negatives: int,
        has_own: bool = False,
        corrects_scores: bool = False,
        offset: float = 0.0,
    ):
        super().__init__()
        self.loss, self.store, self.has_own = loss, store, has_own
        self.num_negatives, self.corrects_scores, self.offset = num_negatives, corrects_scores, offset

    def forward(self, inputs: LossInputs) -> Tensor:
        # Processes that share tables out look rows up together, whether or not each has something to predict.
        if not len(inputs.labels_P) and inputs.shards is None:
            return inputs.nothing()
        ids, negative_PK = self._candidates(inputs)
        negative_PK = upcast(negative_PK) + self.offset
        if self.corrects_scores:
            expected_count = self.store.log_probabilities_V[ids].exp() * self.num_negatives
            negative_PK = negative_PK - expected_count.log()
        return self.loss(inputs.label_scores() + self.offset, negative_PK, inputs.labels_P[:, None] != ids)

    def _candidates(self, inputs: LossInputs) -> tuple[Tensor, Tensor]:
        """Draw items, (K,) or (P, K), and score them, (P, K)."""
        if not self.has_own:
            ids_K = self.store.sample(self.num_negatives, inputs.item_counts_V)
            return ids_K, inputs.scores_of(ids_K)
        num_predictions = len(inputs.labels_P)
        ids_PK = self.store.draw(num_predictions * self.num_negatives, inputs.item_counts_V)
        ids_PK = ids_PK.view(num_predictions, self.num_negatives)
        return ids_PK, inputs.scores_of_own(ids_PK)


def sampled_softmax() -> Loss:
    """Make the entry of OBJECTIVES of the softmax over drawn items, whose scores are corrected."""

    def build(setup: LossSetup) -> WeightedSum:
        return _build(softmax_of_candidates, setup, corrects_scores=setup.own[LogQSettings].log_q_correction)

    return Loss("sampled", softmax_of_candidates, build, (SampledSettings, LogQSettings, StoreSettings))


def calibrated_gbce() -> Loss:
    """Make the entry of OBJECTIVES of gbce, calibrated by `gbce_t`."""

    def build(setup: LossSetup) -> WeightedSum:
        num_negatives = setup.own[SampledSettings].num_sampled_negatives
        t = setup.own[GbceSettings].gbce_t
        beta = gbce_beta(num_negatives=num_negatives, num_items=setup.num_items - 1, t=t)
        # Scores of 0 begin at the odds beta : K of a label; else a first phase lowers all alike and saturates the
        # encoder.
        return _build(partial(gbce, beta=beta), setup, offset=math.log(beta / num_negatives))

    return Loss("sampled", gbce, build, (SampledSettings, StoreSettings, GbceSettings))


def _build(
    function: PairwiseLoss, setup: LossSetup, *, corrects_scores: bool = False, offset: float = 0.0
) -> WeightedSum:
    settings = setup.own[SampledSettings]
    objective = SampledObjective(
        function,
        # What the content of items says is learned from those that could be clicked.
        NegativeStore.of("seen" if setup.has_content else "all", setup.own[StoreSettings], seed=setup.seed),
        num_negatives=settings.num_sampled_negatives,
        has_own=settings.sampled_negatives_per == "position",
        corrects_scores=corrects_scores,
        offset=offset,
    )
    return WeightedSum([objective], [setup.weights.loss_scale_factor * setup.weights.all_rescale_factor])
