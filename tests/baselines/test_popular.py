from collections import Counter
from functools import partial

import pytest

from transformers4recsys.baselines.popular import Popular, PopularSettings, Recent, RecentSettings
from transformers4recsys.errors import InputError

NUM_ITEMS = 15


def clicks(days):
    return [item for sessions in days for session in sessions for item in session]


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        (PopularSettings(), [1, 1, 1, 1]),
        (PopularSettings(popular_last_days=2), [0, 0, 1, 1]),
        (PopularSettings(popular_half_life=1.0), [1 / 8, 1 / 4, 1 / 2, 1]),
        (PopularSettings(popular_half_life=2.0), [2**-1.5, 1 / 2, 2**-0.5, 1]),
    ],
)
def test_popular_counts_the_clicks_of_days_by_their_weights(settings, weights, days, queries, learned, scored):
    baseline = learned(partial(Popular, settings), days)
    expected = [0.0] * NUM_ITEMS
    for sessions, weight in zip(days, weights, strict=True):
        for item in clicks([sessions]):
            expected[item] += weight
    scores = scored(baseline, queries)
    assert all(row == pytest.approx(expected) for row in scores.tolist())


def test_days_without_a_file_count_too(learned, days):
    settings = PopularSettings(popular_last_days=3)
    gap = learned(partial(Popular, settings), [[[1, 1]], [], [], [[2, 2]]])
    assert gap.bias(3).tolist() == [0, 0, 2]


@pytest.mark.parametrize("number", [1, 7, 20, 1000])
def test_recent_counts_the_latest_clicks(number, days, queries, learned, scored):
    baseline = learned(partial(Recent, RecentSettings(number)), days)
    counts = Counter(clicks(days)[-number:])
    expected = [counts[item] for item in range(NUM_ITEMS)]
    assert scored(baseline, queries).tolist() == [expected] * len(queries)


def test_two_ways_to_forget_exclude_each_other():
    with pytest.raises(InputError, match="exclude each other"):
        PopularSettings(popular_last_days=2, popular_half_life=1.0)
