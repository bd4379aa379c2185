import pytest

from transformers4recsys.preprocessing.steps import category_prices

DAY = 86_400_000
OF = ("day", 1)  # days 0 and 1 are the fitted ones


def means(database, events, sums):
    made = category_prices.with_category_price(events, sums, *OF)
    return [row["_category_price"] for row in database.rows(made.order_by("n"))]


@pytest.fixture
def events(table):
    return table(
        n=list(range(6)),
        category=[1, 1, 1, 1, 2, 2],
        price=[10.0, 20.0, 90.0, 5.0, None, 8.0],
        _time=[0, DAY, 2 * DAY, 3 * DAY, 2 * DAY, 3 * DAY],
    )


def test_fitted_days_know_each_other_and_later_days_only_what_was_before(database, events):
    sums = database.keep("sums", category_prices.sums(events, None, *OF))
    assert means(database, events, sums) == [15.0, 15.0, 15.0, 40.0, None, None]


def test_day_by_day_gives_the_same_as_all_at_once(database, events):
    at_once = database.keep("sums", category_prices.sums(events, None, *OF))
    first = database.keep("first", category_prices.sums(events.filter(events["_time"] <= 2 * DAY), None, *OF))
    earlier = database.keep("earlier", category_prices.until(first, 2))
    assert database.rows(earlier) == [
        {"category": 1, "day": 1, "total": 300_000, "count": 2},
        {"category": 1, "day": 2, "total": 900_000, "count": 1},
    ]
    last = events.filter(events["_time"] > 2 * DAY)
    later = database.keep("later", category_prices.sums(last, earlier, *OF))
    assert means(database, last, later) == means(database, events, at_once)[3:4] + [None]


def test_a_category_without_a_price_has_no_mean(database, table):
    events = table(n=[0, 1], category=[1, 1], price=[None, 5.0], _time=[0, 2 * DAY])
    assert means(database, events, database.keep("sums", category_prices.sums(events, None, *OF))) == [None, None]


def test_days_after_the_last_one_do_not_reach_the_next_call(database, events):
    sums = database.keep("sums", category_prices.sums(events, None, *OF))
    assert database.rows(category_prices.until(sums, 1)) == [{"category": 1, "day": 1, "total": 300_000, "count": 2}]
