"""Which positions are predicted, worked out by hand."""

import pytest
import torch

from transformers4recsys.model.targets import (
    TARGET_RULES,
    CausalLastTarget,
    CausalTargets,
    MaskedLastTarget,
    MaskedTargets,
    PermutedLastTarget,
    PermutedTargets,
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


@pytest.mark.parametrize("probability", [0.0, 0.25, 0.9])
def test_permuted_targets_are_numbered_from_one_and_leave_one_item_visible(probability):
    generator = torch.Generator().manual_seed(3)
    items = torch.randint(1, 50, (300, 8), generator=generator)
    lengths = torch.randint(2, 9, (300, 1), generator=generator)
    items = items * (torch.arange(8) < lengths)
    no_past = torch.zeros_like(items, dtype=torch.bool)
    targets = PermutedTargets(probability, max_span=3).select(items, no_past, generator)
    numbers = targets.is_target.sum(1)
    assert numbers.min() >= 1 and (numbers < (items != 0).sum(1)).all()
    for row, number in zip(targets.order, numbers, strict=True):
        assert sorted(row[row > 0].tolist()) == list(range(1, number + 1))
    assert torch.equal(targets.order > 0, targets.is_target)
    assert torch.equal(targets.item_ids, items * targets.is_target)


def test_spans_are_as_long_and_as_many_as_asked_for():
    generator = torch.Generator().manual_seed(0)
    items = torch.ones(2_000, 40, dtype=torch.long)
    no_past = torch.zeros_like(items, dtype=torch.bool)
    targets = PermutedTargets(0.25, max_span=1).select(items, no_past, generator)
    # One in four, each alone in its four places.
    assert targets.is_target.float().mean() == pytest.approx(0.25, abs=0.03)
    by_four = targets.is_target.view(2_000, 10, 4).sum(2)
    assert (by_four >= 1).float().mean() > 0.95
    long = PermutedTargets(0.5, max_span=4).select(items, no_past, generator)
    assert long.is_target.float().mean() == pytest.approx(0.5, abs=0.05)


def test_orders_are_random():
    items = torch.ones(2_000, 4, dtype=torch.long)
    targets = PermutedTargets(0.9, max_span=4).select(items, torch.zeros_like(items, dtype=torch.bool))
    both = (targets.order[:, 0] > 0) & (targets.order[:, 1] > 0)
    first = targets.order[both, 0] < targets.order[both, 1]
    assert first.float().mean() == pytest.approx(0.5, abs=0.06)


def test_the_permuted_last_target_is_hidden_from_all():
    targets = PermutedLastTarget().select(ITEMS, NO_PAST)
    assert targets.order.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
