import pyarrow as pa
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.steps import events
from transformers4recsys.preprocessing.times import day_number

DAY = day_number("2024-01-05", "day", flag="")


def reasons(database, raw, recipe, **days):
    days = {"written_before": None, "first_day": None, "last_day": None} | days
    return events.with_reason(events.standard_columns(raw, recipe), recipe, **days)


@pytest.fixture
def raw(table):
    return table(
        visit=["a", "a", None, "b", "b", "b", "b"],
        time=["2024-01-05 10:00:00"] * 3 + ["2024-01-04 23:59:59", None, "2024-01-06", "2024-01-05 11:00:00"],
        product=[1, None, 3, 4, 5, 6, 7],
        kind=["view", "view", "view", "view", "view", "view", "cart"],
    )


def test_each_row_has_one_reason_or_is_kept(database, raw, recipe):
    made = reasons(
        database,
        raw,
        recipe(event_type_column="kind", event_types=["view"]),
        first_day=DAY,
        last_day=DAY,
    )
    found = events.audit(database, raw, recipe(), made)
    assert (found.read, found.kept, found.has_time_of_day) == (7, 1, True)
    assert found.dropped == {
        "other_event_type": 1,
        "no_item": 1,
        "no_time": 1,
        "no_session_or_user": 1,
        "outside_start_and_end_date": 2,
    }
    kept = database.rows(events.without_reason(made))
    assert [(row["_key"], row["item_id"]) for row in kept] == [("a", 1)]
    assert sorted(kept[0]) == ["_key", "_time", "item_id"]


def test_days_already_written_are_left_out(database, raw, recipe):
    made = reasons(database, raw, recipe(), written_before=(DAY + 1) * 86_400_000)
    assert events.audit(database, raw, recipe(), made).dropped["already_written"] == 3


def test_nothing_but_written_days_is_no_error(database, table, recipe):
    raw = table(visit=["a"], time=["2024-01-05"], product=[1])
    found = events.audit(
        database, raw, recipe(), reasons(database, raw, recipe(), written_before=(DAY + 1) * 86_400_000)
    )
    assert (found.read, found.kept, found.dropped) == (1, 0, {"already_written": 1})


def test_nothing_left_is_an_error_that_says_why(database, table, recipe):
    raw = table({"product": pa.int64()}, visit=["a", "a"], time=["2024-01-05"] * 2, product=[None, None])
    with pytest.raises(InputError, match=r"no event that can be used \(2 rows read\): no_item 2"):
        events.audit(database, raw, recipe(), reasons(database, raw, recipe()))


def test_an_empty_table_is_an_error(database, table, recipe):
    raw = table(
        {"visit": pa.string(), "time": pa.timestamp("us"), "product": pa.int64()}, visit=[], time=[], product=[]
    )
    with pytest.raises(InputError, match="there are no rows"):
        events.audit(database, raw, recipe(), reasons(database, raw, recipe()))


def test_missing_columns_are_named_all_at_once_with_those_there_are(raw, recipe):
    with pytest.raises(InputError) as error:
        events.standard_columns(raw, recipe(item_column="sku", categorical_columns=["brand"]))
    assert "--item_column sku, --categorical_columns brand; there are visit, time, product, kind" in str(error.value)


def test_a_time_that_does_not_parse_is_an_error(database, table, recipe):
    raw = table(visit=["a", "a"], time=["2024-01-05", "yesterday"], product=[1, 2])
    with pytest.raises(InputError, match="column time holds 'yesterday', which is not a time"):
        events.audit(database, raw, recipe(), reasons(database, raw, recipe()))


def test_a_price_that_is_no_number_is_an_error(database, table, recipe):
    raw = table(visit=["a", "a"], time=["2024-01-05"] * 2, product=[1, 2], cost=["1.5", "12,50"])
    made = recipe(price_column="cost")
    with pytest.raises(InputError, match="column cost holds '12,50', which is not a number"):
        events.audit(database, raw, made, reasons(database, raw, made))


def test_times_in_another_unit_are_an_error(database, table, recipe):
    raw = table(visit=["a", "a"], time=[1_570_060_800_000, 1_570_060_800_001], product=[1, 2])
    with pytest.raises(InputError, match=r"times reach from the year 517\d\d to 517\d\d; check --epoch_unit \(s\)"):
        events.audit(database, raw, recipe(), reasons(database, raw, recipe()))


def test_dates_have_no_time_of_day(database, table, recipe):
    raw = table(visit=["a", "a"], time=["2024-01-05", "2024-01-06"], product=[1, 2])
    assert not events.audit(database, raw, recipe(), reasons(database, raw, recipe())).has_time_of_day


def test_unknown_prices_are_null_and_counted(database, table, recipe):
    prices = [1.5, 0.0, -1.0, float("nan"), float("inf"), None]
    raw = table(visit=["a"] * 6, time=["2024-01-05"] * 6, product=[1] * 6, cost=prices)
    made = reasons(database, raw, recipe(price_column="cost"))
    assert [row["price"] for row in database.rows(made)] == [1.5, 0.0, None, None, None, None]
    assert events.audit(database, raw, recipe(price_column="cost"), made).without_price == 4


def test_ids_are_not_touched(database, table, recipe):
    raw = table(visit=["a", "a"], time=["2024-01-05"] * 2, product=[2**53 + 1, None], kind=[1.5, float("nan")])
    rows = database.rows(events.standard_columns(raw, recipe(categorical_columns=["kind"])))
    assert [(row["item_id"], row["kind"]) for row in rows] == [(2**53 + 1, 1.5), (None, None)]
