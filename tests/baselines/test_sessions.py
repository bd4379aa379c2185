import numpy as np
import torch

from transformers4recsys.baselines.sessions import Sessions, prefixes, ragged_places

SESSIONS = Sessions(np.array([4, 7, 4, 2, 9, 9]), np.array([0, 4, 4, 6]))


def test_places_in_a_session():
    assert SESSIONS.session_of.tolist() == [0, 0, 0, 0, 2, 2]
    assert SESSIONS.from_end.tolist() == [3, 2, 1, 0, 1, 0]
    places, sessions = SESSIONS.last_occurrences()
    assert places.tolist() == [3, 2, 1, 5] and sessions.tolist() == [0, 0, 0, 2]
    assert SESSIONS.some(1, 3).items.tolist() == [9, 9] and SESSIONS.some(1, 3).offsets.tolist() == [0, 0, 2]


def test_prefixes_are_what_stands_before_a_position():
    items, offsets = torch.tensor([4, 7, 4, 2, 9, 9]), torch.tensor([0, 4, 4, 6])
    found = prefixes(items, offsets, torch.tensor([0, 0, 2]), torch.tensor([1, 3, 0]))
    assert found.items.tolist() == [4, 4, 7, 4] and found.offsets.tolist() == [0, 1, 4, 4]


def test_ragged_places():
    assert ragged_places(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
