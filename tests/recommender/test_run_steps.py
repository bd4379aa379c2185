"""Steps with what was found for a run, on a few events by hand."""

from pathlib import Path
from types import SimpleNamespace

import ibis
import pyarrow as pa
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.manifest import Manifest
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.recommender.run_steps import RunSteps

DAY = 86_400_000


@pytest.fixture
def database(tmp_path):
    database = DuckDB(tmp_path, threads=1)
    yield database
    database.close()


@pytest.fixture
def steps():
    recipe = Recipe(item_column="sku", time_column="t", session_column="s", category_column="kind", price_column="cost")
    run = SimpleNamespace(
        path=Path("run"),
        vocabularies={
            "item_id": pa.table({"raw": [10, 20], "id": [1, 2], "first_seen": pa.array([0, DAY], pa.timestamp("ms"))}),
        },
        # Category 1: 2.0 on the fitted day 0, 4.0 on day 1.
        category_prices=pa.table(
            {"category": [1, 1], "day": pa.array([0, 1], pa.int64()), "total": [20_000, 40_000], "count": [1, 1]}
        ),
    )
    return RunSteps(run, recipe, Manifest(recipe.as_dict(), fitted_days=["1970-01-01"]), ("relative_price", "item_age"))


def events_of(database, times):
    columns = {
        "_time": times,
        "category": [1] * len(times),
        "price": [6.0] * len(times),
        "_first_seen": [DAY] * len(times),
    }
    return database.keep("given", ibis.memtable(pa.table(columns)))


def test_prices_are_compared_with_the_means_that_each_day_knew(database, steps):
    events = events_of(database, [0, DAY, 2 * DAY, 9 * DAY])
    rows = database.rows(steps.with_features(database, events, has_times=True).order_by("_time"))
    # The means: 2.0 on the fitted day and the day after, 3.0 later; the prices of these events change nothing.
    assert [row["relative_price"] for row in rows] == pytest.approx([2.0, 2.0, 1.0, 1.0])


def test_an_event_before_the_first_one_of_its_item_has_age_0(database, steps):
    events = events_of(database, [0, 2 * DAY])
    rows = database.rows(steps.with_features(database, events, has_times=True).order_by("_time"))
    assert [row["item_age"] for row in rows] == pytest.approx([0.0, 0.6931472])


def test_without_times_the_last_means_count_and_ages_are_0(database, steps):
    rows = database.rows(steps.with_features(database, events_of(database, [0]), has_times=False))
    assert (rows[0]["relative_price"], rows[0]["item_age"]) == (1.0, 0.0)


def test_ids_are_read_as_the_vocabulary_has_them(database, steps):
    recipe = Recipe(item_column="sku", time_column="t", session_column="s")
    steps = RunSteps(steps.run, recipe, steps.manifest, ())
    text = database.keep("text", ibis.memtable(pa.table({"item_id": ["20", "x"]})))
    assert [row["item_id"] for row in database.rows(steps.with_types_of_vocabulary(text))] == [20, None]


def test_a_run_without_prices_says_so(database, steps):
    steps.run.category_prices = None
    with pytest.raises(InputError, match="has no prices of categories"):
        steps.with_features(database, events_of(database, [0]), has_times=True)
