"""Scores: table times hidden plus bias, padding out."""

import torch

from transformers4recsys.model.scoring import ItemScorer, ScorerSettings


def test_padding_has_minus_infinity_as_bias_and_takes_no_gradient():
    scorer = ItemScorer(4, num_items=5, table_width=4)
    assert scorer.bias.tolist() == [-torch.inf, 0, 0, 0, 0]
    torch.logsumexp(scorer.bias, 0).backward()
    torch.testing.assert_close(scorer.item_bias.grad[:, 0], torch.tensor([0, 0.25, 0.25, 0.25, 0.25]))


def test_a_tied_scorer_has_no_table_of_its_own():
    tied = ItemScorer(8, ScorerSettings("tanh", mf_constrained_embeddings=True), num_items=5, table_width=4)
    assert tied.table is None and tied.project(torch.zeros(2, 8)).shape == (2, 4)
