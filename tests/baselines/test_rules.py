from functools import partial

import pytest

from transformers4recsys.baselines.rules import Rules, RulesSettings

NUM_ITEMS = 15


def plain_rules(days, window, weigh):
    """Weights of (item, later item), pair of clicks by pair."""
    rules: dict[tuple[int, int], float] = {}
    for sessions in days:
        for session in sessions:
            for place, first in enumerate(session):
                for distance, second in enumerate(session[place + 1 : place + 1 + window], start=1):
                    rules[first, second] = rules.get((first, second), 0) + weigh(distance)
    return rules


@pytest.mark.parametrize(
    ("window", "name", "weigh"),
    [
        (10, "div", lambda distance: 1 / distance),
        (2, "quadratic", lambda distance: 1 / distance**2),
        (1, "same", lambda distance: 1),
        (10, "linear", lambda distance: 1 - distance / 10),
    ],
)
def test_rules_are_those_of_pairs_of_clicks(window, name, weigh, days, queries, learned, scored):
    baseline = learned(partial(Rules, RulesSettings(window, name)), days)
    rules = plain_rules(days, window, weigh)
    for query, row in zip(queries, scored(baseline, queries).tolist(), strict=True):
        expected = [rules.get((query[-1], item), 0) if query else 0 for item in range(NUM_ITEMS)]
        assert row == pytest.approx(expected)


def test_of_each_item_the_heaviest_rules_are_kept(learned, scored):
    make = partial(Rules, RulesSettings(rules_window=1, rules_per_item=2))
    baseline = learned(make, [[[1, 2], [1, 3], [1, 3], [1, 4], [1, 4]], [[5, 2]]])
    assert scored(baseline, [[1]])[0].nonzero()[0].tolist() == [3, 4]
    assert scored(baseline, [[5]])[0].nonzero()[0].tolist() == [2]
