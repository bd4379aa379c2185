"""The table of items: worked out by hand, and kept up to date from call to call."""

import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.steps import items

SMALL = DatabaseChoice(memory_limit="500MB", threads=1)
COLUMNS = ("kind", "cost", "brand", "weight")
SETTINGS = {
    "category_column": "kind",
    "price_column": "cost",
    "categorical_columns": ["brand"],
    "numeric_columns": ["weight"],
    "names": {"category": "group", "price": "eur"},
}


@pytest.fixture
def first_day(write_log):
    return write_log(
        [
            ("a", "01-05 10:00:00", "cup", "kitchen", 5.0, "ACME", None),
            # Without a price: that of ten o'clock is the last one known.
            ("a", "01-05 10:05:00", "cup", "table", None, "ACME", None),
            ("a", "01-05 10:01:00", "mug", "kitchen", 3.0, None, 0.5),
            # Two values at the same time: the larger one.
            ("b", "01-05 11:00:00", "mug", "garden", 4.0, None, 0.25),
            ("b", "01-05 11:00:00", "mug", "bar", 6.0, None, 0.125),
        ],
        *COLUMNS,
        name="1.parquet",
    )


def rows(folder):
    return pq.read_table(folder / "days" / "items.parquet").to_pylist()


CUP = {"raw": "cup", "id": 1, "group": "table", "brand": "ACME", "eur": 5.0, "weight": None}
MUG = {"raw": "mug", "id": 2, "group": "garden", "brand": None, "eur": 6.0, "weight": 0.25}


def test_the_last_known_values_by_id(tmp_path, first_day, recipe):
    preprocess(LogSettings(first_day, tmp_path / "days"), recipe(**SETTINGS), SMALL)
    assert rows(tmp_path) == [CUP, MUG]
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "days" / "items.parquet")}
    assert types == {
        "raw": "string",
        "id": "int64",
        "group": "string",
        "brand": "string",
        "eur": "double",
        "weight": "double",
    }


def test_a_later_call_adds_items_and_replaces_what_it_knows_better(tmp_path, first_day, write_log, recipe):
    preprocess(LogSettings(first_day, tmp_path / "days"), recipe(**SETTINGS), SMALL)
    second = write_log(
        [
            ("c", "01-06 10:00:00", "mug", None, 7.0, "BARN", None),
            ("c", "01-06 10:01:00", "bowl", "kitchen", None, None, None),
        ],
        *COLUMNS,
        name="2.parquet",
    )
    preprocess(LogSettings(second, tmp_path / "days"), recipe(**SETTINGS), SMALL)
    bowl = {"raw": "bowl", "id": 3, "group": "kitchen", "brand": None, "eur": None, "weight": None}
    assert rows(tmp_path) == [CUP, MUG | {"eur": 7.0, "brand": "BARN"}, bowl]


def test_calls_day_by_day_end_where_one_call_does(tmp_path, first_day, write_log, recipe):
    write_log(
        [
            ("c", "01-06 10:00:00", "mug", "bar", 7.0, "BARN", 1.0),
            ("c", "01-06 10:01:00", "bowl", "kitchen", 1.0, "ACME", 2.0),
        ],
        *COLUMNS,
        name="2.parquet",
    )
    for log in ("1.parquet", "2.parquet"):
        preprocess(LogSettings(tmp_path / "logs" / log, tmp_path / "days"), recipe(**SETTINGS), SMALL)
    day_by_day = rows(tmp_path)
    preprocess(LogSettings(tmp_path / "logs", tmp_path / "once" / "days"), recipe(**SETTINGS), SMALL)
    assert rows(tmp_path / "once") == day_by_day


def test_items_that_an_older_version_did_not_write_down_have_their_ids_alone(tmp_path, first_day, write_log, recipe):
    preprocess(LogSettings(first_day, tmp_path / "days"), recipe(**SETTINGS), SMALL)
    (tmp_path / "days" / "items.parquet").unlink()
    visit = [
        ("c", "01-06 10:01:00", "mug", "bar", 7.0, "BARN", 1.0),
        ("c", "01-06 10:02:00", "pot", "bar", 9.0, "BARN", 2.0),
    ]
    preprocess(LogSettings(write_log(visit, *COLUMNS), tmp_path / "days"), recipe(**SETTINGS), SMALL)
    mug = {"raw": "mug", "id": 2, "group": "bar", "brand": "BARN", "eur": 7.0, "weight": 1.0}
    pot = {"raw": "pot", "id": 3, "group": "bar", "brand": "BARN", "eur": 9.0, "weight": 2.0}
    assert rows(tmp_path) == [CUP | {"group": None, "brand": None, "eur": None}, mug, pot]


def test_without_own_columns_there_are_the_ids(tmp_path, first_day, recipe):
    preprocess(LogSettings(first_day, tmp_path / "days"), recipe(), SMALL)
    assert rows(tmp_path) == [{"raw": "cup", "id": 1}, {"raw": "mug", "id": 2}]


@pytest.mark.parametrize("name", ["raw", "id"])
def test_a_column_cannot_be_called_as_the_ids_are(recipe, name):
    with pytest.raises(InputError, match=f"column 'brand' cannot be called '{name}'"):
        items.own_columns(recipe(categorical_columns=["brand"], names={"brand": name}))


def test_a_column_without_a_value_on_the_first_day_gets_its_type_from_a_later_one(tmp_path, write_log, recipe):
    first, later = ("a", "01-05 10:00:00", "cup", None), ("b", "01-06 10:00:00", "cup", 7)
    settings = recipe(categorical_columns=["brand"])
    for number, event in enumerate((first, later)):
        log = write_log(
            [event, (event[0], event[1].replace("10:00", "10:01"), "mug", None)], "brand", name=f"{number}.parquet"
        )
        preprocess(LogSettings(log, tmp_path / "days"), settings, SMALL)
    assert rows(tmp_path) == [
        {"raw": "cup", "id": 1, "brand": 7},
        {"raw": "mug", "id": 2, "brand": None},
    ]
