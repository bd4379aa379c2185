"""What session neighbours keep; their scores are compared with each method's definition beside it."""

from functools import partial

import numpy as np

from transformers4recsys.baselines.neighbours import most_similar
from transformers4recsys.baselines.vsknn import VsknnSettings, vsknn


def test_sessions_that_no_sample_can_have_are_let_go(learned):
    make = partial(vsknn, VsknnSettings(vsknn_sample_size=2))
    days = [[[1, 2]] * 50, [[1, 2], [1, 3]] * 20]
    state = learned(make, days).state()
    # Of items 1, 2 and 3 the last two sessions each: four sessions have one of these places.
    assert len(state["days"]) == 4 and state["num_sessions"].tolist() == [90]
    assert state["sessions_of_item"].tolist() == [0, 90, 70, 20]


def test_of_equally_similar_sessions_the_latest_are_kept():
    rows = np.array([0, 0, 0, 0, 2, 2, 2])
    similarity = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    assert most_similar(rows, similarity, 2).tolist() == [False, True, False, True, False, True, True]
    assert most_similar(rows, similarity, 3).tolist() == [False, True, True, True, True, True, True]
    assert most_similar(rows[:0], similarity[:0], 3).tolist() == []
