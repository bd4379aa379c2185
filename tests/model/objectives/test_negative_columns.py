"""Losses on negative columns: similarities and hinges by their formulas."""

import pytest
import torch

from transformers4recsys.model.objectives.negative_columns import SIMILARITIES, margin_hinge_a, margin_hinge_b

WIDTH = 4


def test_similarities_equal_their_formulas():
    torch.manual_seed(0)
    hidden, items = torch.randn(2, 1, WIDTH), torch.randn(2, 3, WIDTH)
    cosine = SIMILARITIES["cosine"](WIDTH)(hidden, items)
    concat, multi = SIMILARITIES["concat_mlp"](WIDTH), SIMILARITIES["multi_mlp"](WIDTH)
    for p in range(2):
        for k in range(3):
            h, i = hidden[p, 0], items[p, k]
            torch.testing.assert_close(cosine[p, k], (h @ i) / (h.norm() * i.norm()))
            torch.testing.assert_close(concat(hidden, items)[p, k], concat.network(torch.cat([h, i]))[0])
            torch.testing.assert_close(multi(hidden, items)[p, k], multi.network(h * i)[0])


def test_hinges_of_two_labels_worked_out_by_hand():
    # Labels: (1 - 0.75) + (1 - 0.25) = 1; negatives above 0.25: 0.5 - 0.25 and 1 - 0.25 = 1 together; 2 + 3 pairs.
    similarity, negatives = torch.tensor([0.75, 0.25]), torch.tensor([[0.5, 0.0], [1.0, 9.0]])
    is_negative = torch.tensor([[True, True], [True, False]])
    assert float(margin_hinge_a(similarity, negatives, is_negative, margin=0.25)) == pytest.approx(2 / 5)
    # Labels count as much as their negatives: 2 x 0.25 + 1 x 0.75.
    assert float(margin_hinge_b(similarity, negatives, is_negative, margin=0.25)) == pytest.approx(2.25 / 5)
