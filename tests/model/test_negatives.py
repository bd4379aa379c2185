"""Which items are drawn, how often, and which candidates are negatives of whom."""

import pytest
import torch

from transformers4recsys.batch import Jagged
from transformers4recsys.model.negatives import (
    SAMPLERS,
    NegativeStore,
    among_all,
    among_seen,
    draw,
    of_other_sessions,
    of_positions,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_seen_items_weigh_as_popularity_to_the_power():
    counts = torch.tensor([9, 4, 0, 16])
    assert among_seen(counts, 0.0).tolist() == [0, 1, 0, 1]
    assert among_seen(counts, 0.5).tolist() == [0, 2, 0, 4]
    assert counts.tolist() == [9, 4, 0, 16]


def test_before_any_item_was_seen_all_weigh_alike():
    assert among_seen(torch.zeros(4, dtype=torch.long), 1.0).tolist() == [0, 1, 1, 1]


def test_among_all_items_one_never_seen_counts_once():
    assert among_all(torch.tensor([9, 3, 0]), 0.0).tolist() == [0, 1, 1]
    assert among_all(torch.tensor([9, 3, 0]), 0.5).tolist() == [0, 2, 1]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_items_are_drawn_as_often_as_they_weigh(name):
    weights = SAMPLERS[name](torch.tensor([5, 10, 0, 30, 60]), 1.0)
    ids = draw(weights.cumsum(0), 100_000, generator())
    shares = torch.bincount(ids, minlength=5) / len(ids)
    torch.testing.assert_close(shares, (weights / weights.sum()).float(), atol=0.01, rtol=0)
    assert shares[0] == 0


def test_the_end_of_the_sum_draws_the_last_item_with_a_weight(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda num, **_: torch.ones(num, dtype=torch.double))
    assert draw(torch.tensor([0.0, 1.0, 3.0, 3.0], dtype=torch.double), 2).tolist() == [2, 2]


def test_draws_follow_the_generator():
    sums = among_all(torch.zeros(1000), 0.0).cumsum(0)
    assert torch.equal(draw(sums, 50, generator(1)), draw(sums, 50, generator(1)))
    assert not torch.equal(draw(sums, 50, generator(1)), draw(sums, 50, generator(2)))


def test_a_store_deals_out_what_it_drew_and_draws_anew_when_used_up():
    counts, store = torch.ones(1000, dtype=torch.long), NegativeStore(among_seen, alpha=0.0, size=10)
    dealt = [store.sample(4, counts) for _ in range(2)]
    assert torch.equal(torch.cat(dealt), store.ids[:8]) and len(store.ids) == 10
    again = store.sample(4, counts)
    assert torch.equal(again, store.ids[:4]) and not torch.equal(again, dealt[0])
    assert len(store.sample(25, counts)) == 25


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_store_draws_on_a_device_without_float64(name, without_float64):
    counts = torch.ones(50, dtype=torch.long, device=without_float64)
    store, other = (NegativeStore(SAMPLERS[name], alpha=0.5, size=10) for _ in range(2))
    dealt = [store.sample(4, counts), store.draw(4, counts)]
    other.restore(store.state(), counts)
    for ids in (*dealt, other.sample(4, counts)):
        assert ids.shape == (4,) and ids.device.type == without_float64
    assert store.log_probabilities_V.device.type == without_float64
    drawn = store.ids
    store.sample(1, counts)
    assert store.ids is drawn, "what was drawn ahead is not drawn anew"


def test_stores_draw_alike_from_a_seed_and_counts_whatever_else_is_drawn_or_was_before():
    def drawn(seed, *days):
        torch.manual_seed(len(days))
        counts, store = torch.ones(1000, dtype=torch.long), NegativeStore(among_seen, alpha=0.0, size=4, seed=seed)
        for added in days:
            counts += added
            ids = torch.cat([store.sample(4, counts) for _ in range(3)])
        return ids.tolist()

    assert drawn(5, 3, 4) == drawn(5, 7)
    assert drawn(5, 7) != drawn(6, 7) and drawn(5, 7) != drawn(5, 8)


def test_a_store_draws_anew_when_the_counts_change():
    counts, store = torch.tensor([0, 1, 0, 0]), NegativeStore(among_seen, alpha=0.0, size=100)
    assert store.sample(5, counts).tolist() == [1] * 5
    assert store.log_probabilities_V.exp().tolist() == [0, 1, 0, 0]
    counts += torch.tensor([0, -1, 0, 3])
    assert store.sample(5, counts).tolist() == [3] * 5


def test_targets_of_other_sessions_are_negatives_but_the_label_is_not():
    labels, rows = torch.tensor([7, 8, 7, 9]), torch.tensor([0, 0, 1, 2])
    assert of_other_sessions(labels, rows).tolist() == [
        [False, False, False, True],
        [False, False, True, True],
        [False, True, False, True],
        [True, True, True, False],
    ]


def test_one_session_has_no_negatives_in_its_batch():
    assert not of_other_sessions(torch.tensor([7, 8]), torch.tensor([0, 0])).any()


def test_negatives_of_a_position_stand_at_that_position():
    # Three items with two negatives each, two items with one each, and one item with two.
    column = Jagged.from_lists([[11, 12, 21, 22, 31, 32], [41, 51], [61, 62]])
    found = of_positions(column, torch.tensor([3, 2, 1]), torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 1, 0]))
    assert found.tolist() == [[21, 22], [31, 32], [51, 0], [61, 62]]


def test_no_negatives_and_no_positions_are_allowed():
    nothing = torch.zeros(0, dtype=torch.long)
    assert of_positions(Jagged.from_lists([[11, 12]]), torch.tensor([2]), nothing, nothing).shape == (0, 1)
    empty = Jagged.from_lists([[], []], torch.long)
    assert of_positions(empty, torch.tensor([2, 3]), torch.tensor([1]), torch.tensor([2])).shape == (1, 0)


def test_what_each_process_draws_for_itself_follows_the_weights_and_leaves_the_store_as_it_is():
    counts_V = torch.tensor([5, 0, 3, 1])
    store, untouched = (NegativeStore(among_all, alpha=1.0, size=10, seed=1) for _ in range(2))
    torch.manual_seed(0)
    shares = torch.bincount(store.draw(20_000, counts_V), minlength=4) / 20_000
    # Popularity and one more, of 7 in all.
    torch.testing.assert_close(shares, torch.tensor([0, 1, 4, 2]) / 7, atol=0.02, rtol=0)
    assert torch.equal(store.sample(25, counts_V), untouched.sample(25, counts_V))


def test_uniform_draws_are_all_items_but_padding():
    store = NegativeStore(among_all, alpha=0.0, size=10)
    assert store.draw(200, torch.tensor([5, 0, 3, 1])).unique().tolist() == [1, 2, 3]
