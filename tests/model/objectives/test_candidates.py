"""Losses against plain twins written from their formulas."""

import pytest
import torch

from transformers4recsys.model.objectives import OBJECTIVES
from transformers4recsys.model.objectives.candidates import softmax_of_candidates
from transformers4recsys.model.objectives.sampled import gbce

PAIRWISE_LOSSES = {name: loss.function for name, loss in OBJECTIVES.items() if loss.kind == "in_batch"}
NEGATIVE_COLUMN_LOSSES = {name: loss.function for name, loss in OBJECTIVES.items() if loss.kind == "negative_column"}
SAMPLED_LOSSES = {"sampled_softmax": softmax_of_candidates, "gbce": gbce}
LOSSES = PAIRWISE_LOSSES | SAMPLED_LOSSES | NEGATIVE_COLUMN_LOSSES
OPTIONS = {
    "top1_max_reg": {"regularisation": 0.7},
    "bpr_max_reg": {"regularisation": 0.7},
    "gbce": {"beta": 0.3},
    "margin_hinge_a": {"margin": 0.2},
    "margin_hinge_b": {"margin": 0.2},
}


def sigma(x):
    return 1 / (1 + torch.exp(-x))


def softmax(scores):
    total = sum(torch.exp(score) for score in scores)
    return [torch.exp(score) / total for score in scores]


def top1_row(p, negatives):
    return sum(sigma(n - p) + sigma(n * n) for n in negatives) / len(negatives)


def top1_max_row(p, negatives, regularisation=0.0):
    shares = softmax(negatives)
    return sum(
        s * (sigma(n - p) + sigma(n * n) + regularisation * n * n) for s, n in zip(shares, negatives, strict=True)
    )


def bpr_row(p, negatives):
    return sum(-torch.log(sigma(p - n)) for n in negatives) / len(negatives)


def bpr_max_row(p, negatives, regularisation=0.0):
    pairs = list(zip(softmax(negatives), negatives, strict=True))
    return -torch.log(sum(s * sigma(p - n) for s, n in pairs)) + regularisation * sum(s * n * n for s, n in pairs)


def softmax_row(p, negatives):
    return -torch.log(softmax([p, *negatives])[0])


def gbce_row(p, negatives, beta):
    return -(torch.log(sigma(p) ** beta) + sum(torch.log(1 - sigma(n)) for n in negatives)) / (len(negatives) + 1)


ROWS = {
    "top1": top1_row,
    "top1_max": top1_max_row,
    "top1_max_reg": top1_max_row,
    "bpr": bpr_row,
    "bpr_max": bpr_max_row,
    "bpr_max_reg": bpr_max_row,
    "sampled_softmax": softmax_row,
    "gbce": gbce_row,
    "cross_entropy_neg": softmax_row,
    "cross_entropy_neg_1d": softmax_row,
}

# A loss in a file of its own has its formula in that file's test.
TWINS = {*ROWS, "margin_hinge_a", "margin_hinge_b"}


def mean_of_rows(name, positive, negative, is_negative, **options):
    losses = []
    for p, row, chosen in zip(positive, negative, is_negative, strict=True):
        negatives = [n for n, is_one in zip(row, chosen, strict=True) if is_one]
        if negatives:
            losses.append(ROWS[name](p, negatives, **options))
    return sum(losses) / len(losses)


def hinge(name, positive, negative, is_negative, margin):
    total, num_pairs = 0.0, 0
    for p, row, chosen in zip(positive, negative, is_negative, strict=True):
        negatives = [n for n, is_one in zip(row, chosen, strict=True) if is_one]
        total = total + (1 - p) * (len(negatives) if name == "margin_hinge_b" else 1)
        total = total + sum(max(n - margin, 0 * n) for n in negatives)
        num_pairs += 1 + len(negatives)
    return total / num_pairs


def plain(name, *arguments):
    twin_of = hinge if name.startswith("margin_hinge") else mean_of_rows
    return twin_of(name, *arguments, **OPTIONS.get(name, {}))


def example(dtype=torch.float64, scale=1.0):
    """Five labels and four candidates; the third label has no negative, the fourth has one."""
    generator = torch.Generator().manual_seed(3)
    positive = torch.randn(5, generator=generator, dtype=torch.float64) * scale
    negative = torch.randn(5, 4, generator=generator, dtype=torch.float64) * scale
    is_negative = torch.rand(5, 4, generator=generator) < 0.7
    is_negative[2], is_negative[3] = False, torch.tensor([False, True, False, False])
    return positive.to(dtype).requires_grad_(), negative.to(dtype).requires_grad_(), is_negative


def test_twins_are_those_of_losses():
    assert TWINS <= set(LOSSES)


@pytest.mark.parametrize("name", sorted(TWINS))
def test_loss_equals_its_formula_in_value_and_gradient(name):
    positive, negative, is_negative = example()
    loss = LOSSES[name](positive, negative, is_negative, **OPTIONS.get(name, {}))
    expected = plain(name, positive, negative, is_negative)
    torch.testing.assert_close(loss, expected)
    gradients = torch.autograd.grad(loss, [positive, negative])
    for gradient, of_twin in zip(gradients, torch.autograd.grad(expected, [positive, negative]), strict=True):
        torch.testing.assert_close(gradient, of_twin)
    assert gradients[1][~is_negative].abs().max() == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_candidates_that_are_no_negatives_change_nothing(name):
    positive, negative, is_negative = example()
    loss = LOSSES[name](positive, negative, is_negative, **OPTIONS.get(name, {}))
    other = negative.detach().masked_fill(~is_negative, 1e4)
    assert LOSSES[name](positive, other, is_negative, **OPTIONS.get(name, {})) == loss


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss_is_finite_and_right_in_half_precision(name, scale, dtype):
    positive, negative, is_negative = example(dtype, scale)
    loss = LOSSES[name](positive, negative, is_negative, **OPTIONS.get(name, {}))
    exact = LOSSES[name](positive.double(), negative.double(), is_negative, **OPTIONS.get(name, {}))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)
    for gradient in torch.autograd.grad(loss, [positive, negative]):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", sorted({**PAIRWISE_LOSSES, **SAMPLED_LOSSES}))
def test_without_any_negative_the_loss_is_zero_and_can_be_differentiated(name):
    positive, negative, is_negative = example()
    loss = LOSSES[name](positive, negative, torch.zeros_like(is_negative))
    assert float(loss) == 0
    for gradient in torch.autograd.grad(loss, [positive, negative]):
        assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_higher_label_and_lower_negatives_lower_the_loss(name):
    positive, negative, is_negative = torch.tensor([0.4]), torch.tensor([[0.6, 0.5]]), torch.tensor([[True, True]])
    loss = LOSSES[name](positive, negative, is_negative)
    assert LOSSES[name](positive + 0.1, negative, is_negative) < loss
    assert LOSSES[name](positive, negative - 0.1, is_negative) < loss
