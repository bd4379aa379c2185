"""Distances within lists against plain loops over pairs."""

from itertools import combinations

import numpy as np
import pytest
import torch

from transformers4recsys.metrics import diversity
from transformers4recsys.metrics.diversity import between_categories, between_vectors, distances, mean_distances


@pytest.mark.parametrize("rows_at_a_time", [1, 3, 100])
def test_means_over_pairs_of_known_items(rows_at_a_time, monkeypatch):
    monkeypatch.setattr(diversity, "ROWS_AT_A_TIME", rows_at_a_time)
    generator = torch.Generator().manual_seed(2)
    vectors = torch.randn(20, 5, generator=generator)
    codes = torch.randint(0, 4, (20,), generator=generator)
    vectors[[0, 4, 9]], codes[0] = 0, 0
    lists = torch.stack([torch.randperm(19, generator=generator)[:6] + 1 for _ in range(8)])
    by_vector, by_code = [], []
    for row in lists.tolist():
        known = [vectors[item].double().numpy() for item in row if vectors[item].any()]
        cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(known, 2)]
        by_vector.append(1 - np.mean(cosines))
        pairs = list(combinations([code for code in codes[row].tolist() if code], 2))
        by_code.append(sum(a != b for a, b in pairs) / len(pairs))
    assert mean_distances(lists, between_vectors(vectors)).tolist() == pytest.approx(by_vector, abs=1e-6)
    assert mean_distances(lists, between_categories(codes)).tolist() == pytest.approx(by_code)


def test_by_hand():
    lists = torch.tensor([[1, 2, 3], [4, 5, 6]])
    # Two pairs of three are apart; of the other list one item is known, and a pair needs two.
    assert mean_distances(lists, between_categories(torch.tensor([0, 7, 7, 8, 7, 0, 0]))).tolist() == [
        pytest.approx(2 / 3)
    ]
    vectors = torch.tensor([[0, 0], [1, 0], [0, 3], [-2, 0], [1, 1], [0, 0], [0, 0.0]])
    assert mean_distances(lists, between_vectors(vectors)).tolist() == [pytest.approx((1 + 2 + 1) / 3)]


def test_each_category_has_a_number_and_nothing_is_measured_that_was_not_asked_for():
    codes = {"brand": torch.ones(3), "colour": torch.ones(3)}
    names = ["category_diversity", "intra_list_diversity"]
    assert list(distances(names[:1], categories=codes, vectors_VW=torch.ones(3, 2))) == [
        "brand_diversity",
        "colour_diversity",
    ]
    assert list(distances(names, categories={}, vectors_VW=torch.ones(3, 2))) == ["intra_list_diversity"]
    assert distances(["coverage"], categories=codes, vectors_VW=torch.ones(3, 2)) == {}
