"""Which positions are predicted, worked out by hand."""

import pytest
import torch

from transformers4recsys.model.targets import (
    TARGET_RULES,
    CausalLastTarget,
    CausalTargets,
    MaskedLastTarget,
    MaskedTargets,
)

ITEMS = torch.tensor([[3, 7, 9, 0], [4, 5, 0, 0], [6, 0, 0, 0]])
NO_PAST = torch.zeros(3, 4, dtype=torch.bool)
IS_PAST = torch.tensor([[True, False, False, False], [False] * 4, [False] * 4])


def test_causal_targets_are_the_next_items():
    targets = CausalTargets().select(ITEMS, NO_PAST)
    assert targets.item_ids.tolist() == [[7, 9, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]
    assert targets.is_target.tolist() == [[True, True, False, False], [True, False, False, False], [False] * 4]


@pytest.mark.parametrize("rule", [CausalTargets(), CausalLastTarget(), MaskedLastTarget()])
def test_counts_are_those_of_the_targets_chosen(rule):
    sessions = ITEMS[:2]
    assert rule.count((sessions != 0).sum(1)) == rule.select(sessions, NO_PAST[:2]).is_target.sum()


def test_masked_targets_count_what_they_are_drawn_from():
    assert MaskedTargets().count(torch.tensor([3, 2, 1])) == 5


@pytest.mark.parametrize("rule", TARGET_RULES.values())
def test_one_item_alone_counts_nothing(rule):
    assert rule().count(torch.tensor([1])) == 0


def test_a_past_position_predicts_nothing():
    targets = CausalTargets().select(ITEMS, IS_PAST)
    assert targets.item_ids.tolist() == [[0, 9, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]


def test_the_last_target_is_one_a_session():
    targets = CausalLastTarget().select(ITEMS, NO_PAST)
    assert targets.item_ids.tolist() == [[0, 9, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]]
    assert targets.is_target.sum(1).tolist() == [1, 1, 0]


def test_the_masked_last_target_stands_at_its_own_position():
    targets = MaskedLastTarget().select(ITEMS, IS_PAST)
    assert targets.item_ids.tolist() == [[0, 0, 9, 0], [0, 5, 0, 0], [6, 0, 0, 0]]


@pytest.mark.parametrize("probability", [0.0, 0.15, 0.99])
def test_masking_keeps_a_target_and_a_visible_item_in_every_session(probability):
    generator = torch.Generator().manual_seed(3)
    items = torch.randint(1, 50, (400, 8), generator=generator)
    lengths = torch.randint(2, 9, (400, 1), generator=generator)
    items = items * (torch.arange(8) < lengths)
    targets = MaskedTargets(probability).select(items, torch.zeros_like(items, dtype=torch.bool), generator)
    num_targets = targets.is_target.sum(1)
    assert (num_targets >= 1).all() and (num_targets < lengths[:, 0]).all()
    assert torch.equal(targets.item_ids, items * targets.is_target)
    if probability == 0:
        assert (num_targets == 1).all()


def test_items_are_masked_as_often_as_asked():
    items = torch.ones(500, 40, dtype=torch.long)
    targets = MaskedTargets(0.2).select(items, items == 0, torch.Generator().manual_seed(0))
    assert targets.is_target.float().mean() == pytest.approx(0.2, abs=0.01)


def test_the_past_is_never_masked():
    items = torch.ones(50, 6, dtype=torch.long)
    is_past = (torch.arange(6) < 3).expand(50, 6)
    targets = MaskedTargets(0.9).select(items, is_past, torch.Generator().manual_seed(0))
    assert not (targets.is_target & is_past).any() and targets.is_target.sum(1).max() == 2
