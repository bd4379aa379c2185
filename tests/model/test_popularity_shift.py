"""Scores that follow the popularity of the last day: by hand, and where there is nothing to follow."""

import numpy as np
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.popularity_shift import PopularityShift
from transformers4recsys.settings import from_values


def after(*days):
    shift = PopularityShift(len(days[0]))
    for counts in days:
        shift.add_day(torch.tensor(counts))
    return shift.of_items()


def test_it_is_the_expected_change_of_shares_by_hand():
    # 89/90 of 90 clicks, and those of the last day: 89 and 99 of 188, so 10 clicks are expected as 4.734 and 5.266.
    # Pearson's statistic is 4.734 + 4.734^2 / 5.266 = 8.990 of 2 items: a = 10 / 6.990 = 1.4307.
    shift = after([0, 90, 90], [0, 0, 10])
    expected = torch.tensor([1.0, 1.4307 / 6.1647, 11.4307 / 6.6966]).log()
    torch.testing.assert_close(shift, expected, atol=1e-3, rtol=0)


def test_the_first_day_and_a_day_without_clicks_shift_nothing():
    assert not after([0, 3, 5]).any()
    assert not after([0, 3, 5], [0, 0, 0]).any()
    assert not after([0, 0, 0]).any()


def test_chance_alone_shifts_next_to_nothing():
    draw = np.random.default_rng(0)
    shares = draw.gamma(1.0, 20.0, 1000)
    shift = after(*[[0, *draw.poisson(shares)] for _ in range(10)])
    assert shift.abs().max() < 0.25
    moved = shares * np.where(np.arange(1000) < 200, 4, 1)
    shift = after(*[[0, *draw.poisson(shares)] for _ in range(10)], [0, *draw.poisson(moved)])
    assert shift[1:201].mean() > 0.5 and shift[201:].mean() < -0.1


def test_an_item_of_the_last_day_alone_gains_most_and_one_that_nobody_clicks_any_more_loses():
    shift = after(*[[0, 50, 50, 50, 0]] * 5, [0, 50, 50, 0, 50])
    assert shift[4] > 0.3 > shift[1] > -0.3 > shift[3]
    assert shift[1] == pytest.approx(shift[2])


def test_scores_are_shifted_and_what_is_learned_is_not(schema, make_batch):
    values = {"d_model": 8, "n_layer": 1, "n_head": 2}
    plain, shifted = (
        build_model(schema, from_values(ModelSettings, values | {"popularity_shift": is_on}), max_length=20).eval()
        for is_on in (False, True)
    )
    batch = make_batch([[3, 7, 9], [7, 9]])
    for model in (plain, shifted):
        for sessions in ([list(range(1, 21))] * 3, [[3, 7, 9]] * 20):
            model.observe([make_batch(sessions)])
    shift = shifted.popularity_shift.of_items()
    assert shift[7] > 0 > shift[4] and shift[0] == 0
    hidden = plain(batch).hidden
    torch.testing.assert_close(shifted.scores(hidden), plain.scores(hidden) + shift)
    torch.manual_seed(0)
    loss = plain.train()(batch).loss
    torch.manual_seed(0)
    assert torch.equal(shifted.train()(batch).loss, loss)


def test_losses_whose_scores_are_no_probabilities_are_refused():
    with pytest.raises(InputError, match="or choose cross_entropy"):
        from_values(ModelSettings, {"popularity_shift": True, "loss_type": "bpr_max"})
