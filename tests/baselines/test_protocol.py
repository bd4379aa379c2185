import numpy as np
import pytest

from transformers4recsys.baselines import BASELINES, BaselineSettings
from transformers4recsys.baselines.sessions import Sessions


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_that_learned_nothing_scores_nothing(name):
    baseline = BaselineSettings().make(name)
    for state in (baseline.state(), BaselineSettings().make(name).state()):
        baseline.restore(state)
        items, values, offsets = baseline.scores(Sessions(np.array([3, 1]), np.array([0, 1, 1, 2])))
        assert len(items) == len(values) == 0 and offsets.tolist() == [0, 0, 0, 0]
        assert baseline.bias(5).tolist() == [0] * 5
