import math

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.steps import features
from transformers4recsys.preprocessing.times import day_number

HOUR = 3_600_000
THURSDAY = day_number("2019-10-03", "day", flag="") * 24 * HOUR


@pytest.fixture
def events(table):
    return table(
        _time=[THURSDAY, THURSDAY + 6 * HOUR],
        _pause=[None, 6 * HOUR],
        _first_seen=[THURSDAY, THURSDAY - 18 * HOUR],
        price=[math.e**2 - 1, None],
        _category_price=[2.0, None],
        weight=[4.0, 8.0],
    )


def values(database, events, numbers, standardizers):
    rows = database.rows(features.with_numbers(events, numbers, standardizers))
    return {name: [row[name] for row in rows] for name in numbers}


def test_every_feature_by_hand(database, events, recipe):
    chosen = recipe(price_column="cost", category_column="kind", numeric_columns=["weight"])
    numbers = features.numbers_of(chosen, has_time_of_day=True)
    standardizers = {
        name: features.Standardizer(1.0, 2.0) for name, number in numbers.items() if number.is_standardised
    }
    found = values(database, events, numbers, standardizers)
    thursday = 3 * 2 * math.pi / 7
    expected = {
        "price": [0.5, 0.0],
        "relative_price": [(math.e**2 - 1) / 2 - 1, 0.0],
        "time_since_last": [-0.5, (math.log(6 * 3600 + 1) - 1) / 2],
        "item_age": [0.0, math.log(2)],
        "hour_sin": [0.0, 1.0],
        "hour_cos": [1.0, 0.0],
        "weekday_sin": [math.sin(thursday)] * 2,
        "weekday_cos": [math.cos(thursday)] * 2,
        "weight": [1.5, 3.5],
    }
    assert list(found) == list(expected)
    for name, numbers_expected in expected.items():
        assert found[name] == pytest.approx(numbers_expected, abs=1e-6), name


def test_features_need_their_columns(recipe):
    of_dates = ["item_age", "weekday_sin", "weekday_cos"]
    assert list(features.numbers_of(recipe(), has_time_of_day=False)) == of_dates
    assert list(features.numbers_of(recipe(price_column="cost"), has_time_of_day=False)) == ["price", *of_dates]
    timed = ["time_since_last", "item_age", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos"]
    assert list(features.numbers_of(recipe(), has_time_of_day=True)) == timed


def test_mean_and_deviation_leave_unknown_values_out(database, table, recipe):
    events = table(
        _time=[0, 0, 0, 0], _first_seen=[0] * 4, a=[1.0, 3.0, None, 5.0], b=[7.0] * 4, c=[None, None, 0.0, 0.0]
    )
    numbers = features.numbers_of(recipe(numeric_columns=["a", "b", "c"]), has_time_of_day=False)
    standardizers = features.fitted(database, events, numbers)
    assert standardizers == {
        "a": features.Standardizer(3.0, pytest.approx(math.sqrt(8 / 3), rel=1e-6)),
        "b": features.Standardizer(7.0, 1.0),
        "c": features.Standardizer(0.0, 1.0),
    }


def test_nothing_to_standardise_is_nothing_to_fit(database, events, recipe):
    assert features.fitted(database, events, features.numbers_of(recipe(), has_time_of_day=False)) == {}


def test_a_fit_of_no_events_is_an_error(database, table, recipe):
    events = table(_time=[0], _first_seen=[0], a=[1.0])
    numbers = features.numbers_of(recipe(numeric_columns=["a"]), has_time_of_day=False)
    with pytest.raises(InputError, match="the first days have no session of two items"):
        features.fitted(database, events.filter(events["a"] > 1), numbers)
