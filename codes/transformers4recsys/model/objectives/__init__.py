"""From hidden states and labels to a loss: a kind of loss a file; OBJECTIVES holds all of them by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from transformers4recsys.errors import InputError
from transformers4recsys.model.objectives import fused
from transformers4recsys.model.objectives.candidates import softmax_of_candidates
from transformers4recsys.model.objectives.catalogue import over_catalogue
from transformers4recsys.model.objectives.inputs import Loss, LossSetup, LossWeights, WeightedSum
from transformers4recsys.model.objectives.negative_columns import (
    hinge_on_negative_column,
    margin_hinge_a,
    margin_hinge_b,
    on_negative_column,
)
from transformers4recsys.model.objectives.pairwise import (
    bpr,
    bpr_max,
    in_batch,
    in_batch_regularised,
    top1,
    top1_max,
)
from transformers4recsys.model.objectives.sampled import calibrated_gbce, sampled_softmax
from transformers4recsys.settings import Parts, changed, check, choose, part, parts, setting

OBJECTIVES: dict[str, Loss] = {
    "cross_entropy": over_catalogue(fused.fastest_cross_entropy, takes_label_smoothing=True),
    "top1": in_batch(top1),
    "top1_max": in_batch(top1_max),
    "top1_max_reg": in_batch_regularised(top1_max),
    "bpr": in_batch(bpr),
    "bpr_max": in_batch(bpr_max),
    "bpr_max_reg": in_batch_regularised(bpr_max),
    "sampled_softmax": sampled_softmax(),
    "gbce": calibrated_gbce(),
    # The older program had two names for one formula.
    "cross_entropy_neg": on_negative_column(softmax_of_candidates),
    "cross_entropy_neg_1d": on_negative_column(softmax_of_candidates),
    "margin_hinge_a": hinge_on_negative_column(margin_hinge_a),
    "margin_hinge_b": hinge_on_negative_column(margin_hinge_b),
}


def own_settings_of_losses() -> tuple[type, ...]:
    """List the settings classes of all losses, each once."""
    return tuple(dict.fromkeys(each for loss in OBJECTIVES.values() for each in loss.settings))


@dataclass(frozen=True)
class LossSettings:
    """Loss: what is learned from"""

    loss_type: str = setting("cross_entropy", "loss; case does not matter", choices=lambda: OBJECTIVES)
    weights: LossWeights = part(LossWeights)
    own: Parts = parts(own_settings_of_losses)

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss_type", self.loss_type.lower())
        check(self)

    def unused(self) -> dict[str, str]:
        """Give the settings of other losses that were changed, each with the reason that they have no effect."""
        loss, unused = OBJECTIVES[self.loss_type], list[str]()
        for settings_class in own_settings_of_losses():
            if settings_class not in loss.settings or not loss.is_reading(settings_class, self.own):
                unused += changed(self.own[settings_class])
        return dict.fromkeys(unused, f"`loss_type` {self.loss_type} has no such setting")


def make_objective(settings: LossSettings, setup: LossSetup) -> WeightedSum:
    """Build the objective that the settings name; InputError where it lacks what it needs."""
    setup = replace(setup, own=settings.own, weights=settings.weights)
    objective = choose(OBJECTIVES, settings.loss_type, "loss_type").build(setup)
    if not any(objective.weights):
        raise InputError(
            "the loss is 0 whatever is predicted: `loss_scale_factor`, `all_rescale_factor` or "
            "`neg_rescale_factor` must not be 0"
        )
    return objective
