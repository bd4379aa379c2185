import pyarrow as pa
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.steps import events
from transformers4recsys.preprocessing.times import day_number

DAY = day_number("2024-01-05", "day", flag="")


def reasons(raw, recipe, **days):
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
    chosen = recipe(event_type_column="kind", event_types=["view"])
    made = reasons(raw, chosen, first_day=DAY, last_day=DAY)
    found = [row["_reason"] for row in database.rows(made)]
    outside = "outside_start_and_end_date"
    assert found == [None, "no_item", "no_session_or_user", outside, "no_time", outside, "other_event_type"]
    kept = database.rows(events.without_reason(made))
    assert [(row["_key"], row["item_id"]) for row in kept] == [("a", 1)]
    assert sorted(kept[0]) == ["_key", "_time", "item_id"]


def test_days_already_written_are_left_out(database, raw, recipe):
    made = reasons(raw, recipe(), written_before=(DAY + 1) * 86_400_000)
    assert [row["_reason"] for row in database.rows(made)].count("already_written") == 3


def test_missing_columns_are_named_all_at_once_with_those_there_are(raw, recipe):
    with pytest.raises(InputError) as error:
        events.standard_columns(raw, recipe(item_column="sku", categorical_columns=["brand"]))
    assert "`item_column` sku, `categorical_columns` brand; there are visit, time, product, kind" in str(error.value)


def test_unknown_prices_are_null(database, table, recipe):
    prices = [1.5, 0.0, -1.0, float("nan"), float("inf"), None]
    raw = table(visit=["a"] * 6, time=["2024-01-05"] * 6, product=[1] * 6, cost=prices)
    rows = database.rows(reasons(raw, recipe(price_column="cost")))
    assert [row["price"] for row in rows] == [1.5, 0.0, None, None, None, None]


def test_a_decimal_comma_is_read_where_it_is_set(database, table, recipe):
    raw = table(visit=["a"] * 4, time=["2024-01-05"] * 4, product=[1] * 4, cost=["107,10", "1.234,5", "7", None])
    rows = database.rows(reasons(raw, recipe(price_column="cost", decimal=",")))
    assert [row["price"] for row in rows] == [107.1, None, 7.0, None]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (("NULL", "\\N"), ["x", None, None, None, None, "NA", "null", "N?", "No", "x NULL"]),
        (("NA", "N?"), ["x", None, None, " NULL\n", "\\N", None, "null", None, "No", "x NULL"]),
    ],
)
def test_missing_is_missing_in_text(database, table, recipe, missing, expected):
    values = ["x", "", " \t\n\r\v\f", " NULL\n", "\\N", "NA", "null", "N?", "No", "x NULL"]
    raw = table(visit=["a"] * 10, time=["2024-01-05"] * 10, product=values)
    rows = database.rows(events.standard_columns(raw, recipe(missing_values=missing)))
    assert [row["item_id"] for row in rows] == expected


def test_ids_are_not_touched(database, table, recipe):
    raw = table(visit=["007"], time=["2024-01-05"], product=[2**53 + 1])
    (row,) = database.rows(events.standard_columns(raw, recipe()))
    assert (row["_key"], row["item_id"]) == ("007", 2**53 + 1)


@pytest.mark.parametrize(
    ("kind", "is_refused"),
    [(pa.float64(), True), (pa.float32(), True), (pa.decimal128(10, 2), True), (pa.decimal128(10, 0), False)],
)
def test_an_id_is_never_a_float(database, table, recipe, kind, is_refused):
    raw = table({"product": kind}, visit=["a"], time=["2024-01-05"], product=[5])
    if is_refused:
        with pytest.raises(InputError, match="`item_column` product is of type .*an id is text or a whole number"):
            events.standard_columns(raw, recipe())
    else:
        assert database.rows(events.standard_columns(raw, recipe()))[0]["item_id"] == 5
