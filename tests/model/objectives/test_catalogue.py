"""Cross entropy over the catalogue against a twin written from its formula."""

import math
from dataclasses import dataclass

import pytest
import torch

from transformers4recsys.model.objectives.catalogue import cross_entropy, over_catalogue
from transformers4recsys.model.objectives.inputs import LossInputs, LossSetup, LossWeights
from transformers4recsys.settings import Parts, setting


def twin(hidden, table, bias, labels, smoothing):
    total = 0.0
    for row, label in zip(hidden, labels, strict=True):
        scores = [sum(a * b for a, b in zip(row, item, strict=True)) + c for item, c in zip(table, bias, strict=True)]
        real = scores[1:]
        log_total = math.log(sum(math.exp(score) for score in real))
        likelihoods = [score - log_total for score in real]
        total -= (1 - smoothing) * likelihoods[label - 1] + smoothing * sum(likelihoods) / len(likelihoods)
    return total / len(labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_equals_its_formula_in_value_and_gradient(smoothing):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    table = torch.randn(6, 3, generator=generator, dtype=torch.float64).requires_grad_()
    bias = torch.randn(6, generator=generator, dtype=torch.float64)
    labels = [1, 5, 2, 2]
    masked = torch.cat([torch.tensor([-torch.inf], dtype=torch.float64), bias[1:]])
    loss = cross_entropy(hidden, table, masked, torch.tensor(labels), label_smoothing=smoothing)
    assert float(loss) == pytest.approx(
        twin(hidden.tolist(), table.tolist(), bias.tolist(), labels, smoothing), rel=1e-6
    )

    loss.backward()
    moved = table.detach().clone()
    moved[5, 1] += 1e-4
    lifted = twin(hidden.tolist(), moved.tolist(), bias.tolist(), labels, smoothing)
    moved[5, 1] -= 2e-4
    lowered = twin(hidden.tolist(), moved.tolist(), bias.tolist(), labels, smoothing)
    assert float(table.grad[5, 1]) == pytest.approx((lifted - lowered) / 2e-4, rel=1e-4)
    assert torch.isfinite(hidden.grad).all() and table.grad[0].abs().max() == 0


def test_cross_entropy_without_targets_is_zero_and_can_be_differentiated():
    hidden = torch.zeros(0, 3, requires_grad=True)
    loss = cross_entropy(hidden, torch.randn(6, 3), torch.zeros(6), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert float(loss) == 0


@dataclass(frozen=True)
class Power:
    power: float = setting(2.0, "what the loss is raised to")


def test_settings_of_a_loss_are_keyword_arguments_of_its_function():
    def powered(hidden_PE, item_table_VE, bias_V, labels_P, *, power):
        return cross_entropy(hidden_PE, item_table_VE, bias_V, labels_P) ** power

    loss = over_catalogue(powered, Power)
    setup = LossSetup(2, 3, own=Parts({Power: Power(3.0)}), weights=LossWeights(all_rescale_factor=0.5))
    weights = torch.zeros(3, 2), torch.zeros(3, 1), torch.zeros(3)
    inputs = LossInputs(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([0]), *weights)
    assert loss.settings == (Power,) and not loss.takes_label_smoothing
    assert float(loss.build(setup)(inputs)) == pytest.approx(0.5 * math.log(2) ** 3)
