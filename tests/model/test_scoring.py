"""Scores: table times hidden plus bias, padding out."""

import pytest
import torch
from torch.nn.functional import normalize

from transformers4recsys.model.scoring import ItemScorer, ScorerSettings


def test_padding_has_minus_infinity_as_bias_and_takes_no_gradient():
    scorer = ItemScorer(4, num_items=5, table_width=4)
    assert scorer.bias.tolist() == [-torch.inf, 0, 0, 0, 0]
    torch.logsumexp(scorer.bias, 0).backward()
    torch.testing.assert_close(scorer.item_bias.grad[:, 0], torch.tensor([0, 0.25, 0.25, 0.25, 0.25]))


def test_a_tied_scorer_has_no_table_of_its_own():
    tied = ItemScorer(8, ScorerSettings("tanh", mf_constrained_embeddings=True), num_items=5, table_width=4)
    assert tied.table is None and tied.project(torch.zeros(2, 8)).shape == (2, 4)


def test_without_an_activation_hidden_states_score_as_they_are():
    settings, hidden = ScorerSettings("none"), torch.randn(2, 4)
    assert torch.equal(ItemScorer(4, settings, num_items=5, table_width=4).project(hidden), hidden)
    wider = ItemScorer(4, settings, num_items=5, table_width=6)
    linear = wider.projection[0]
    torch.testing.assert_close(wider.project(hidden), hidden @ linear.weight.T + linear.bias)


def test_cosine_scores_by_hand():
    scorer = ItemScorer(2, ScorerSettings("none", score="cosine", temperature=0.5), num_items=4, table_width=2)
    items = torch.tensor([[0.0, 0.0], [0.0, 9.0], [5.0, 0.0], [3.0, 4.0]])
    scores = scorer.project(torch.tensor([[0.0, 2.0]])) @ scorer.vectors(items).T + scorer.bias
    torch.testing.assert_close(scores, torch.tensor([[-torch.inf, 2.0, 0.0, 1.6]]))
    assert not scorer.item_bias.requires_grad


def test_gradients_of_cosines_are_those_of_the_plain_twin():
    scorer = ItemScorer(4, ScorerSettings("none", score="cosine"), num_items=3, table_width=4)
    items, twins = (torch.tensor([[0.0] * 4, [3.0, 0, 4, 0], [1, -2, 3, 5]]).requires_grad_() for _ in range(2))
    weights = torch.arange(12.0).reshape(3, 4) * torch.tensor([[0.0], [1], [1]])
    (scorer.vectors(items) * weights).sum().backward()
    (normalize(twins, dim=-1) * weights).sum().backward()
    torch.testing.assert_close(items.grad, twins.grad)
    assert items.grad[1:].abs().min() > 0


def test_item_dropout_falls_in_training_alone():
    torch.manual_seed(0)
    scorer = ItemScorer(2, ScorerSettings(item_dropout=0.25), num_items=4, table_width=2)
    dropped = scorer.vectors(torch.ones(50, 40))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(scorer.eval().vectors(torch.ones(5, 4)), torch.ones(5, 4))
