"""Scores that follow the popularity of the last day: by hand, and as far as days have shown that they should."""

import numpy as np
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.popularity_shift import STRENGTHS, PopularityShift
from transformers4recsys.settings import from_values


def after(days, window):
    """The shift after days of counts, each trained on with those before it in a window of days."""
    days = torch.tensor(np.array(days))
    shift = PopularityShift(days.shape[1])
    for number, day in enumerate(days, start=1):
        shift.add_day(day, days[max(number - window, 0) : number].sum(0))
    return shift


def test_it_is_the_change_of_shares_at_the_strength_that_told_the_days_best():
    # The third day repeats the second one: the less the window weighs, the better was it told.
    shift = after([[0, 90, 10], [0, 10, 90], [0, 10, 90]], window=3)
    assert STRENGTHS[int(shift.grades.argmax())] == 0.03
    # 100 clicks, expected as 110/300 and 190/300 of them.
    expected = torch.tensor([1.0, 10.03 / (100 * 110 / 300 + 0.03), 90.03 / (100 * 190 / 300 + 0.03)]).log()
    torch.testing.assert_close(shift.of_items(), expected)


def test_grades_by_hand():
    shift = after([[0, 30, 10], [0, 10, 30], [0, 4, 0]], window=2)
    # The first day said nothing of the second, as its window is itself. Behind the second, 40 clicks were expected as
    # 20 and 20: at a strength of 10 the shares are 20 / 30 and 40 / 30 of one half each, a third and two thirds.
    # Beside an infinite strength, which says the same of the third day but for one half in place of a third.
    at_10 = STRENGTHS.index(10.0)
    assert shift.grades[0].item() == 0
    assert shift.grades[at_10].item() == pytest.approx(4 * (np.log(1 / 3) - np.log(1 / 2)))


def test_grades_of_days_fade():
    # The third day is told better at a strength of 10: 30 of its clicks were at two thirds, 10 at a third.
    shift = after([[0, 30, 10], [0, 10, 30], [0, 10, 30]], window=2)
    gain = 30 * np.log(4 / 3) + 10 * np.log(2 / 3)
    assert shift.grades[STRENGTHS.index(10.0)].item() == pytest.approx(gain)
    shift.add_day(torch.tensor([0, 0, 0]), shift.window)
    assert shift.grades[STRENGTHS.index(10.0)].item() == pytest.approx(0.97 * gain)


def test_apples_gpus_can_hold_it():
    assert {buffer.dtype for buffer in PopularityShift(4).buffers()} == {torch.long, torch.float}


def test_days_that_say_nothing_shift_nothing():
    for days in ([[0, 3, 5]], [[0, 3, 5], [0, 0, 0]], [[0, 0, 0]], [[0, 3, 5], [0, 0, 0], [0, 8, 1]]):
        assert not after(days, window=2).of_items().any()
    # What a day alone has taught it is not corrected by the same day.
    assert not after([[0, 90, 10], [0, 10, 90], [0, 10, 90]], window=1).of_items().any()


def test_shares_that_stay_and_those_that_change_for_a_day_shift_next_to_nothing():
    draw = np.random.default_rng(0)
    shares = draw.gamma(1.0, 20.0, 500)
    steady = after([[0, *draw.poisson(shares)] for _ in range(12)], window=10)
    assert steady.of_items().abs().max() < 0.2
    restless = after([[0, *draw.poisson(shares * draw.gamma(2.0, 0.5, 500))] for _ in range(12)], window=10)
    assert restless.of_items().abs().max() < 0.2


def test_shares_that_go_on_changing_shift():
    draw, shares, days = np.random.default_rng(0), np.full(500, 20.0), []
    for _ in range(12):
        shares = shares * draw.gamma(4.0, 0.25, 500)
        days.append([0, *draw.poisson(shares)])
    found = after(days, window=10).of_items().numpy()[1:]
    assert np.corrcoef(found, np.log((shares + 1) / (np.sum(days[-10:], 0)[1:] / 10 + 1)))[0, 1] > 0.8


@pytest.mark.parametrize("task", [{}, {"model_type": "electra", "mlm": True, "rtd": True}], ids=["plain", "rtd"])
def test_scores_are_shifted_and_what_is_learned_is_not(task, schema, make_batch):
    values = {"d_model": 8, "n_layer": 1, "n_head": 2} | task
    plain, shifted = (
        build_model(schema, from_values(ModelSettings, values | {"popularity_shift": is_on}), max_length=20).eval()
        for is_on in (False, True)
    )
    counts = torch.zeros(3, len(plain.item_counts), dtype=torch.long)
    counts[0, 1:], counts[1:, 7] = 9, 90
    for number in range(3):
        shifted.popularity_shift.add_day(counts[number], counts[: number + 1].sum(0))
    shift = shifted.popularity_shift.of_items()
    assert shift[7] > 0 > shift[4] and shift[0] == 0
    batch = make_batch([[3, 7, 9], [7, 9]])
    hidden = plain(batch).hidden
    torch.testing.assert_close(shifted.scores(hidden), plain.scores(hidden) + shift)
    torch.manual_seed(0)
    loss = plain.train()(batch).loss
    torch.manual_seed(0)
    assert torch.equal(shifted.train()(batch).loss, loss)


def test_losses_whose_scores_are_no_probabilities_are_refused():
    with pytest.raises(InputError, match="or choose cross_entropy"):
        from_values(ModelSettings, {"popularity_shift": True, "loss_type": "bpr_max"})
