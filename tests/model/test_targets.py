"""Which positions are predicted, worked out by hand."""

import torch

from transformers4recsys.model.targets import CausalTargets, LastItemTargets

ITEMS = torch.tensor([[3, 7, 9, 0], [4, 5, 0, 0], [6, 0, 0, 0]])
IS_PAST = torch.tensor([[True, False, False, False], [False] * 4, [False] * 4])


def test_causal_targets_are_the_next_items():
    targets = CausalTargets().select(ITEMS)
    assert targets.item_ids.tolist() == [[7, 9, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]
    assert targets.is_target.tolist() == [[True, True, False, False], [True, False, False, False], [False] * 4]


def test_a_past_position_predicts_nothing():
    targets = CausalTargets().select(ITEMS, IS_PAST)
    assert targets.item_ids.tolist() == [[0, 9, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]


def test_last_item_targets_are_one_a_session():
    targets = LastItemTargets().select(ITEMS)
    assert targets.item_ids.tolist() == [[0, 9, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]
    assert targets.is_target.sum(1).tolist() == [1, 1, 0]
