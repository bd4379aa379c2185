"""Every recipe's steps find their columns, and the names of the output are told apart."""

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import plan
from transformers4recsys.preprocessing.columns import CATEGORY_PRICE, NEGATIVES, STAGE
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.steps import features

SPLITS = [
    {"split": "leave_one_out", "k_core": 2},
    {"split": "time"},
    {"split": "given", "split_column": "part"},
]


@pytest.mark.parametrize("settings", [{}, {"neg_samples": 2}, {"session_column": None}, *SPLITS])
def test_every_step_finds_its_columns(recipe, settings):
    chosen = recipe(**{"user_column": "user", "price_column": "cost", "category_column": "kind"} | settings)
    numbers = features.numbers_of(chosen, has_time_of_day=True)
    steps = plan.steps_of_events(chosen, numbers)
    names = [step.name for step in steps]
    assert ("splits.with_stage" in names) == chosen.is_split
    columns = plan.check(steps, plan.columns_of_events(chosen))
    assert CATEGORY_PRICE in columns and (STAGE in columns) == chosen.is_split
    plan.check_plan(chosen)


def test_a_feature_of_a_column_that_no_step_gives_is_an_error_before_any_file_is_read(tmp_path, recipe, monkeypatch):
    taste = features.Number(lambda table: table["_taste"], ("_taste",))
    monkeypatch.setitem(features.NUMBERS, "taste", taste)
    with pytest.raises(AssertionError, match=r"features.with_numbers needs \['_taste'\], which no step"):
        plan.check_plan(recipe())


def test_names_of_histories_and_negatives_are_not_given_away(recipe):
    user = {"user_column": "user", "categorical_columns": ["brand"]}
    with pytest.raises(InputError, match="column 'brand' cannot be called 'bef_item_id'"):
        plan.check_plan(recipe(**user, names={"brand": "bef_item_id"}))
    with pytest.raises(InputError, match="column 'brand' cannot be called '_neg_item_id'"):
        plan.check_plan(recipe(**user, neg_samples=1, names={"brand": "_neg_item_id"}))
    plan.check_plan(recipe(**user, past_length_max=0, names={"brand": "bef_item_id"}))


def test_every_column_and_its_name_in_the_files(recipe):
    chosen = recipe(user_column="user", neg_samples=1, names={"item_id": "pid"})
    assert plan.output_names(chosen, ["item_age"]) == {
        "session_id": "session_id",
        "session_start": "session_start",
        "user_id": "user_id",
        "item_id": "pid",
        "item_age": "item_age",
        "event_time": "event_time",
        "bef_item_id": "bef_pid",
        "bef_item_age": "bef_item_age",
        "bef_event_time": "bef_event_time",
        NEGATIVES: "_neg_pid",
    }


def test_names_of_columns_between_steps_can_be_names_of_the_output(tmp_path, recipe, write_log, day_file):
    """No output column has its name before it is written."""
    names = {"item_id": "_row", "event_time": "_day_of_row", "session_id": "_half", "session_start": "_time"}
    log = write_log([("v", f"01-05 10:00:0{i}", f"p{i}") for i in range(3)])
    preprocess(
        LogSettings(log, tmp_path / "days"), recipe(names=names), DatabaseChoice(memory_limit="500MB", threads=1)
    )
    (row,) = day_file("2024-01-05")
    assert (row["_row"], row["_half"]) == ([1, 2, 3], "v")
    assert [time.second for time in row["_day_of_row"]] == [0, 1, 2]
