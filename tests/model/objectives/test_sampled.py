"""Losses on drawn items: their calibration, and what they do not read."""

import pytest

from transformers4recsys.model.objectives import LossSettings, make_objective
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.model.objectives.sampled import gbce_beta
from transformers4recsys.settings import from_values


def test_gbce_beta_is_one_without_correction_and_the_sampling_rate_with_all_of_it():
    assert gbce_beta(num_negatives=25, num_items=101, t=0.0) == pytest.approx(1)
    assert gbce_beta(num_negatives=25, num_items=101, t=1.0) == pytest.approx(0.25)
    # alpha (t (1 - 1 / alpha) + 1 / alpha) at alpha = 1/4, t = 1/2
    assert gbce_beta(num_negatives=25, num_items=101, t=0.5) == pytest.approx(0.625)
    assert gbce_beta(num_negatives=500, num_items=101, t=1.0) == 1


def test_the_settings_reach_the_objective():
    values = {"loss_type": "gbce", "num_sampled_negatives": 7, "neg_sampling_store_size": 50, "neg_sampling_alpha": 0.5}
    (objective,) = make_objective(from_values(LossSettings, values), LossSetup(width=4, num_items=9, seed=3)).objectives
    store = objective.store
    assert (objective.num_negatives, store.size, store.alpha, store.seed) == (7, 50, 0.5, 3)
    assert not objective.reads_all_items and not objective.has_own and not objective.corrects_scores


def test_sampled_softmax_is_corrected_unless_told_otherwise():
    def corrects_scores(**values):
        settings = from_values(LossSettings, {"loss_type": "sampled_softmax", **values})
        return make_objective(settings, LossSetup(width=4, num_items=9)).objectives[0].corrects_scores

    assert corrects_scores() and not corrects_scores(log_q_correction=False)
