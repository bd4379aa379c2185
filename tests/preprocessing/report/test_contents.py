import json
import shutil
from datetime import datetime

import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.report import contents as report
from transformers4recsys.preprocessing.run import LogSettings, preprocess

SMALL = DatabaseChoice(memory_limit="500MB", threads=1)


@pytest.fixture
def found(write_log, tmp_path):
    """The report on two days: three sessions of two users; a repeat, a short session, a missing item and brand."""
    rows = [
        ("v1", "01-05 10:00:00", 1, "u", "x"),
        ("v1", "01-05 10:01:00", 2, "u", "x"),
        ("v1", "01-05 10:02:00", 1, "u", None),
        ("v2", "01-05 11:00:00", 1, "w", "x"),
        ("v2", "01-05 11:01:00", 1, "w", "x"),
        ("v2", "01-05 11:02:00", 3, "w", "y"),
        ("v3", "01-06 09:00:00", 3, "u", "y"),
        ("v3", "01-06 09:01:00", 4, "u", "y"),
        ("v4", "01-06 12:00:00", 4, "w", "y"),
        ("v4", "01-06 12:01:00", None, "w", "y"),
    ]
    log = write_log(rows, "customer", "brand")
    recipe = Recipe(
        item_column="product",
        time_column="time",
        session_column="visit",
        user_column="customer",
        categorical_columns=["brand"],
    )
    preprocess(LogSettings(log, tmp_path / "days", report=True), recipe, SMALL)
    return json.loads((tmp_path / "days" / "report.json").read_text())


def test_days_are_counted(found):
    day = {"events": 5, "sessions": 2, "users": 2, "items": 3, "new_items": 3, "events_on_new_items": 5, "repeats": 1}
    later = {"events": 2, "sessions": 1, "users": 1, "items": 2, "new_items": 1, "events_on_new_items": 1, "repeats": 0}
    assert found["by_day"] == [{"day": "2024-01-05"} | day, {"day": "2024-01-06"} | later]


def test_totals_and_distributions(found):
    totals = found["totals"]
    names = ("events", "sessions", "users", "items", "repeats", "days", "mean_length")
    assert [totals[name] for name in names] == [7, 3, 2, 4, 1, 2, 2.333]
    assert totals["valid_rows"] + totals["test_rows"] == 3
    assert found["lengths"] == [[2, 2], [3, 1]]
    assert found["popularity"]["curve"] == [[1, 3], [2, 2], [3, 1], [4, 1]]
    assert found["popularity"]["once"] == 2


def test_what_was_dropped_adds_up(found):
    assert (found["events_read"], found["events_written"], found["adds_up"]) == (10, 7, True)
    assert found["events_dropped"] == {"no_item": 1, "repeated_item": 1, "in_a_short_session": 1}


def test_what_was_checked_is_counted(found):
    assert (found["checks"]["sessions_longer_than_a_day"], found["checks"]["events_later_than_now"]) == (0, 0)


def test_missing_values_are_counted(found):
    assert found["columns"]["brand"] == {"values": 2, "once": 0, "events": 9, "missing": 1}


def test_the_check_for_leaks_is_in_it(found):
    assert found["leaks"]["is_ok"] and len(found["leaks"]["pairs"]) == 1


def test_a_file_with_the_sessions_of_a_later_day_breaks_the_rule(found, tmp_path):
    first, second = (tmp_path / "days" / f"session_start_date=2024-01-{day}-train.parquet" for day in ("05", "06"))
    shutil.copy(second, first)
    report.write(tmp_path / "days", Recipe(**found["settings"]), SMALL)
    leaks = json.loads((tmp_path / "days" / "report.json").read_text())["leaks"]
    assert not leaks["is_ok"] and [pair["rows_later"] for pair in leaks["pairs"]] == [1]


def test_a_later_call_reports_on_all_days(found, write_log, tmp_path):
    recipe = Recipe(**(found["settings"]))
    log = write_log(
        [("v9", f"01-07 10:0{i}:00", 5 + i, "u", "x") for i in range(3)], "customer", "brand", name="b.parquet"
    )
    preprocess(LogSettings(log, tmp_path / "days", report=True), recipe, SMALL)
    after = json.loads((tmp_path / "days" / "report.json").read_text())
    assert after["by_day"][:2] == found["by_day"] and after["by_day"][2]["new_items"] == 3
    assert (after["events_read"], after["events_written"], after["adds_up"]) == (13, 10, True)


def test_names_of_the_output_do_not_matter(found, write_log, tmp_path):
    settings = found["settings"] | {"names": {"item_id": "pid", "event_time": "at", "user_id": "who", "brand": "make"}}
    preprocess(LogSettings(tmp_path / "logs", tmp_path / "own", report=True), Recipe(**settings), SMALL)
    own = json.loads((tmp_path / "own" / "report.json").read_text())
    same = ("by_day", "lengths", "popularity", "totals", "leaks")
    assert [own[name] for name in same] == [found[name] for name in same]
    assert own["columns"]["make"] == found["columns"]["brand"]


def test_parts_of_a_folder_are_read_as_its_file(found, tmp_path):
    path = tmp_path / "days" / "session_start_date=2024-01-05-train.parquet"
    rows = pq.read_table(path)
    path.unlink()
    path.mkdir()
    for number in range(rows.num_rows):
        pq.write_table(rows.slice(number, 1), path / f"part-{number}.parquet")
    report.write(tmp_path / "days", Recipe(**found["settings"]), SMALL)
    assert json.loads((tmp_path / "days" / "report.json").read_text()) == found


def test_without_users_none_are_counted(write_log, tmp_path):
    log = write_log([("v", "01-05 10:00:00", 1), ("v", "01-05 10:01:00", 2)])
    recipe = Recipe(item_column="product", time_column="time", session_column="visit")
    preprocess(LogSettings(log, tmp_path / "days", report=True), recipe, SMALL)
    assert json.loads((tmp_path / "days" / "report.json").read_text())["totals"]["users"] is None


def test_an_empty_folder_is_an_error(tmp_path, recipe):
    with pytest.raises(InputError, match="has no day files to report on"):
        report.write(tmp_path, recipe(), SMALL)


def test_popularity_of_known_counts():
    # Of 100 items one has 101 events, nine have 11 and ninety have 1: the first 10 items have 200 of 290.
    found = report.popularity({101: 1, 11: 9, 1: 90})
    assert (found["items"], found["once"]) == (100, 90)
    assert found["top"] == {"1 %": {"items": 1, "share": 101 / 290}, "10 %": {"items": 10, "share": 200 / 290}}
    assert found["curve"] == [[1, 101], [2, 11], [10, 11], [11, 1], [100, 1]]


def test_the_curve_of_many_items_stays_short():
    found = report.popularity({count: 10 for count in range(1, 5001)})
    assert len(found["curve"]) < 400
    assert found["curve"][0] == [1, 5000] and found["curve"][-1] == [50_000, 1]


def test_days_of_a_split_are_those_of_its_events(write_log, tmp_path):
    rows = [("v", f"01-{day:02} 10:00:00", day) for day in range(5, 12)]
    recipe = Recipe(item_column="product", time_column="time", user_column="visit", split="leave_one_out")
    preprocess(LogSettings(write_log(rows), tmp_path / "days", report=True), recipe, SMALL)
    found = json.loads((tmp_path / "days" / "report.json").read_text())
    assert [day["day"] for day in found["by_day"]] == [f"{datetime(2024, 1, day):%Y-%m-%d}" for day in range(5, 10)]
