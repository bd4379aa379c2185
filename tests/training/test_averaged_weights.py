"""The average of weights by hand, its place in the model, and a day that ends with it."""

import pytest
import torch

from transformers4recsys.training.averaged_weights import AveragedWeights


def seen(values, decay):
    model, average = torch.nn.Linear(1, 1, bias=False), AveragedWeights()
    average.begin(decay)
    for value in values:
        torch.nn.init.constant_(model.weight, value)
        average.see(model)
    return model, average


# The decays of steps 2 and 3 are 3/12 and 4/13, where the one that is asked for is no less.
@pytest.mark.parametrize(
    ("decay", "expected"),
    [(0.9, 4 / 13 * (1 / 4 * 8 + 3 / 4 * 4) + 9 / 13 * 2), (0.1, 0.1 * (0.1 * 8 + 0.9 * 4) + 1.8)],
)
def test_the_average_moves_by_what_its_decay_leaves(decay, expected):
    model, average = seen([8, 4, 2], decay)
    assert model.weight.item() == 2
    average.restore(model)
    assert model.weight.item() == pytest.approx(expected)


def test_the_model_has_the_average_for_the_time_of_a_block():
    model, average = seen([8, 4], 0.9)
    with average.in_place(model):
        assert model.weight.item() == 5
    assert model.weight.item() == 4
    average.see(model)
    average.restore(model)
    assert model.weight.item() == pytest.approx(4 + 4 / 13)


def test_weights_that_are_not_trained_are_no_part_of_it():
    model, average = torch.nn.Linear(1, 1), AveragedWeights()
    model.bias.requires_grad_(False)
    average.begin(0.9)
    average.see(model)
    assert list(average.weights) == ["weight"]
