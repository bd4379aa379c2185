"""Dropout sets the share to zero that it should, and attention with it equals PyTorch's in what it keeps."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from transformers4recsys.model.encoders import dropout as own
from transformers4recsys.model.encoders.dropout import Dropout, attend, dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
def test_drops_its_share_and_keeps_the_mean(share):
    torch.manual_seed(0)
    found = dropout(torch.ones(300_001), share)
    kept = found != 0
    # The standard deviation of the share is .0009 at most; to 1 / 65,536 each number left is 1 / (1 - share).
    assert abs(kept.float().mean() - (1 - share)) < 0.004
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 1 / (1 - share)), rtol=2e-4, atol=0)


def test_neighbours_are_dropped_apart_from_each_other():
    """Four numbers share a draw: each pair of them is kept together in .9 x .9 of all draws."""
    torch.manual_seed(0)
    kept = (dropout(torch.ones(100_000, 4), 0.1) != 0).float()
    together = kept.T @ kept / len(kept)
    torch.testing.assert_close(together, torch.full((4, 4), 0.81) + 0.09 * torch.eye(4), rtol=0, atol=0.006)


def test_gradients_are_dropped_with_their_numbers():
    values = torch.randn(50, 7, requires_grad=True)
    found = dropout(values, 0.5)
    found.sum().backward()
    torch.testing.assert_close(values.grad * values.detach(), found.detach())


def test_the_same_seed_drops_the_same_and_evaluation_nothing():
    layer, values = Dropout(0.3), torch.ones(9, 5)
    first, second = (layer(values) for _ in range(2) if torch.manual_seed(3))
    assert first.equal(second)
    assert layer.eval()(values) is values


def test_attention_equals_pytorchs_where_nothing_is_dropped(monkeypatch):
    """Values and gradients, by way of the products that dropout needs."""
    monkeypatch.setattr(own, "dropout", lambda values, share: values)
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(3, 2, 6, 4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3)]
    may_see = (torch.rand(3, 1, 6, 6, generator=generator) > 0.5) | torch.eye(6, dtype=torch.bool)
    answers = attend(*given, may_see, share=0.1), scaled_dot_product_attention(*given, attn_mask=may_see)
    torch.testing.assert_close(*answers)
    for one, other in zip(*(torch.autograd.grad(answer.square().sum(), given) for answer in answers), strict=True):
        torch.testing.assert_close(one, other)


def test_attention_drops_weights():
    """All see two places alike, with values 1 and 3: of the weights .5 each, those that stay are twice as large."""
    torch.manual_seed(0)
    zeros, values = torch.zeros(200, 1, 2, 1), torch.tensor([1.0, 3.0]).view(1, 1, 2, 1).expand(200, 1, 2, 1)
    found = attend(zeros, zeros, values, torch.ones(200, 1, 2, 2, dtype=torch.bool), share=0.5)
    assert set(found.flatten().tolist()) == {0.0, 1.0, 3.0, 4.0}
