"""Pairwise losses worked out by hand, and what they need."""

import math

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.objectives import LossSettings, make_objective
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.model.objectives.pairwise import bpr, bpr_max, top1
from transformers4recsys.settings import from_values

ONE = torch.ones(1, 1, dtype=torch.bool)


def test_losses_of_one_pair():
    positive, negative = torch.tensor([math.log(3)]), torch.zeros(1, 1)
    # sigma(log 3) is 3/4, and sigma(-log 3) 1/4.
    assert float(bpr(positive, negative, ONE)) == pytest.approx(math.log(4 / 3))
    assert float(bpr_max(positive, negative, ONE)) == pytest.approx(math.log(4 / 3))
    assert float(top1(positive, negative, ONE)) == pytest.approx(1 / 4 + 1 / 2)


def test_regularisation_adds_squares_of_negatives():
    positive, negative = torch.tensor([2.0]), torch.tensor([[2.0]])
    assert float(bpr_max(positive, negative, ONE, regularisation=0.5)) == pytest.approx(math.log(2) + 0.5 * 4)


def test_they_need_negative_sampling_and_take_their_extras():
    def objective(**values):
        settings = from_values(LossSettings, {"loss_type": "BPR", **values})
        return make_objective(settings, LossSetup(width=4, num_items=9)).objectives[0]

    with pytest.raises(InputError, match="add `negative_sampling`"):
        objective()
    assert objective(negative_sampling=True, neg_sampling_extra_samples_per_batch=5).num_extra == 5
