import numpy as np

from transformers4recsys.baselines import pairs
from transformers4recsys.baselines.pairs import PairWeights, heaviest


def test_weights_of_equal_pairs_are_summed_whenever_they_come(monkeypatch):
    for at_a_time in (pairs.PAIRS_AT_A_TIME, 1):
        monkeypatch.setattr(pairs, "PAIRS_AT_A_TIME", at_a_time)
        sums = PairWeights(10)
        sums.add(np.array([3, 3, 1]), np.array([2, 1, 9]), np.array([1.0, 0.5, 2.0]))
        sums.add(np.array([3, 500]), np.array([2, 5]), np.array([0.25, 4.0]))
        items, weights, offsets = sums.of_first(np.array([3, 7, 500, 1]))
        assert items.tolist() == [1, 2, 5, 9] and weights.tolist() == [0.5, 1.25, 4.0, 2.0]
        assert offsets.tolist() == [0, 2, 2, 3, 4]


def test_of_equal_weights_the_first_are_kept():
    group, weights = np.array([0, 0, 0, 4, 4]), np.array([1.0, 2.0, 1.0, 3.0, 3.0])
    assert heaviest(group, weights, 2).tolist() == [True, True, False, True, True]
    assert heaviest(group, weights, 1).tolist() == [False, True, False, True, False]
    assert heaviest(group[:0], weights[:0], 1).tolist() == []
