import json
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import pipeline
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import Recipe, read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.staging import WRITING, scratch
from transformers4recsys.schema import Schema

REPOSITORY = Path(__file__).parents[2]
SMALL = DatabaseChoice(memory_limit="500MB", threads=1)


def day_of(event: dict) -> str:
    return f"{event['time']:%Y-%m-%d}" if event["time"] else "none"


def day_files(output: Path) -> dict[str, dict[str, list]]:
    return {path.name: pq.read_table(path).to_pydict() for path in sorted(output.glob("session_start_date=*"))}


@pytest.fixture
def whole(tmp_path, shop, random_log, write_events) -> Path:
    """The output of a log of four days, given at once; no session crosses midnight."""
    visits = {event["visit"]: [] for event in random_log(9)}
    for event in random_log(9):
        visits[event["visit"]].append(event)
    log = [event for events in visits.values() if len({day_of(e) for e in events} - {"none"}) == 1 for event in events]
    for day in ("2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08", "none"):
        write_events([event for event in log if day_of(event) == day], tmp_path / "logs" / f"{day}.parquet")
    preprocess(LogSettings(tmp_path / "logs", tmp_path / "whole"), shop, SMALL)
    return tmp_path / "whole"


def test_a_day_in_a_later_call_gives_the_same_files_and_leaves_earlier_ones_alone(tmp_path, whole, shop):
    output = tmp_path / "days"
    for day in ("2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08"):
        before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in output.glob("session_*")}
        preprocess(LogSettings(tmp_path / "logs" / f"{day}.parquet", output), shop, SMALL)
        assert all((path.read_bytes(), path.stat().st_mtime_ns) == old for path, old in before.items())
    assert day_files(output) == day_files(whole)
    for path in ("vocabulary/item_id.parquet", "vocabulary/brand.parquet", "category_prices.parquet", "items.parquet"):
        assert pq.read_table(output / path) == pq.read_table(whole / path)
    assert (output / "features.yaml").read_text() == (whole / "features.yaml").read_text()


def test_a_folder_with_one_more_day_adds_that_day(tmp_path, whole, shop):
    output, more = tmp_path / "days", tmp_path / "logs" / "2024-01-08.parquet"
    aside = more.rename(tmp_path / "2024-01-08.parquet")
    preprocess(LogSettings(tmp_path / "logs", output), shop, SMALL)
    assert day_files(output) == {name: data for name, data in day_files(whole).items() if "01-08" not in name}
    aside.rename(more)
    assert preprocess(LogSettings(tmp_path / "logs", output), shop, SMALL)["days"] == ["2024-01-08"]
    assert day_files(output) == day_files(whole)


def test_nothing_new_changes_nothing(tmp_path, whole, shop):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert preprocess(LogSettings(tmp_path / "logs", whole), shop, SMALL)["days"] == []
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_the_order_of_rows_and_the_number_of_threads_do_not_matter(tmp_path, whole, shop, write_events):
    log = [row for path in (tmp_path / "logs").iterdir() for row in pq.read_table(path).to_pylist()]
    random.Random(1).shuffle(log)
    preprocess(
        LogSettings(write_events(log, tmp_path / "shuffled.parquet"), tmp_path / "days"),
        shop,
        replace(SMALL, threads=3),
    )
    assert day_files(tmp_path / "days") == day_files(whole)


def test_csv_gives_the_same_sessions_as_parquet(tmp_path, whole, shop):
    log = [row for path in (tmp_path / "logs").iterdir() for row in pq.read_table(path).to_pylist()]
    lines = [",".join("" if value is None else str(value) for value in row.values()) for row in log]
    (tmp_path / "log.csv").write_text("\n".join([",".join(log[0]), *lines]), encoding="utf-8")
    preprocess(LogSettings(tmp_path / "log.csv", tmp_path / "days"), shop, SMALL)
    for name in day_files(whole):
        rows = [pq.read_table(folder / name).drop_columns("user_id") for folder in (tmp_path / "days", whole)]
        assert rows[0] == rows[1]


def test_a_later_day_changes_no_earlier_file(tmp_path, whole, shop):
    preprocess(LogSettings(tmp_path / "logs", tmp_path / "days", end_date="2024-01-06"), shop, SMALL)
    assert day_files(tmp_path / "days") == {n: d for n, d in day_files(whole).items() if "01-05" in n or "01-06" in n}


def test_halves_are_disjoint_and_together_whole(whole):
    for path in whole.glob("*-train.parquet"):
        halves = [path.with_name(path.name.replace("train", half)) for half in ("valid", "test")]
        found = [set(pq.read_table(part)["session_id"].to_pylist()) for part in (path, *halves)]
        assert not found[1] & found[2]
        assert found[1] | found[2] == found[0]
        assert found[1] and found[2]


def test_counts_add_up(tmp_path, whole):
    manifest = json.loads((whole / "preprocessing.json").read_text())
    (call,) = manifest["calls"]
    assert call["events_read"] == sum(pq.read_metadata(path).num_rows for path in (tmp_path / "logs").iterdir())
    assert call["events_read"] == call["events_written"] + sum(call["events_dropped"].values())
    assert sorted(call["events_dropped"]) == [
        "before_the_last_n",
        "in_a_short_session",
        "no_item",
        "no_time",
        "repeated_item",
    ]
    for day, counts in manifest["days"].items():
        rows = pq.read_table(whole / f"session_start_date={day}-train.parquet").to_pylist()
        assert counts["sessions"] == counts["valid_sessions"] + counts["test_sessions"] == len(rows)
        assert counts["events"] == sum(len(row["item_id"]) for row in rows)


def test_the_feature_config_fits_the_files(whole):
    schema = Schema.from_file(whole / "features.yaml", past_prefix="bef_")
    for path in whole.glob("session_*"):
        table = pq.read_table(path)
        for feature in schema.columns:
            values = table[feature.name].to_pylist()
            if feature.dtype == "text":
                assert all(type(value) is str for value in values)
            if feature.dtype == "categorical":
                assert all(0 < value < feature.cardinality for row in values for value in row)
        assert {feature.name for feature in schema.columns} == set(table.column_names) - {"session_start", "user_id"}


def test_a_killed_call_leaves_no_half_written_day(tmp_path, whole, monkeypatch, shop, write_events):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    later = write_events(
        [{"visit": "w", "time": datetime(2024, 1, 9, 1, i), "product": f"n{i}"} for i in range(3)],
        tmp_path / "l.parquet",
    )
    monkeypatch.setattr(pipeline.feature_config, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        preprocess(LogSettings(later, whole), shop, SMALL)
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    assert preprocess(LogSettings(later, whole), shop, SMALL)["days"] == ["2024-01-09"]


def test_a_call_that_was_killed_while_writing_goes_on_when_started_again(
    tmp_path, write_log, recipe, kill_while_writing
):
    days = [[("v", f"01-0{day} 10:00:0{i}", f"p{day}{i}") for i in range(3)] for day in (5, 6, 7)]
    write_log(days[0], name="1.parquet")
    output, chosen = tmp_path / "days", recipe(user_column=None)
    preprocess(LogSettings(tmp_path / "logs", output), chosen, SMALL)
    stats = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in output.rglob("*") if path.is_file()}
    rows = [(f"{visit}{time[:5]}", time, product) for visit, time, product in days[1] + days[2]]
    log = write_log(rows, name="2.parquet")
    kill_while_writing(log, output)
    assert len(list((output / WRITING).glob("session_start_date=*"))) == 6
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in stats} == stats
    assert preprocess(LogSettings(log, output), chosen, SMALL)["days"] == ["2024-01-06", "2024-01-07"]
    assert len(day_files(output)) == 9 and not list(output.glob(".preprocess-*"))
    earlier = {path: stat for path, stat in stats.items() if path.name.startswith("session")}
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in earlier} == earlier


def test_the_spill_of_a_killed_call_does_not_stay(write_log, tmp_path, recipe):
    temp = tmp_path / "temp"
    temp.mkdir()
    with scratch(tmp_path / "days", temp) as folder:
        pass
    folder.mkdir()
    (folder / "spill").touch()
    log = write_log([("v", f"01-05 10:0{i}:00", i) for i in range(3)])
    preprocess(LogSettings(log, tmp_path / "days", report=True), recipe(), replace(SMALL, temp_directory=temp))
    assert not list(temp.iterdir())


def test_other_settings_for_the_same_output_are_an_error(tmp_path, whole):
    with pytest.raises(InputError, match="session_length_max was 4, is 20"):
        preprocess(
            LogSettings(tmp_path / "logs", whole),
            Recipe(item_column="product", time_column="time", session_column="visit"),
        )


def test_users_and_pauses_make_sessions(write_log, day_file, tmp_path):
    rows = [
        ("u", "01-05 10:00:00", 1),
        ("u", "01-05 10:30:00", 2),
        ("u", "01-05 11:00:01", 3),
        ("u", "01-05 11:05:00", 4),
    ]
    recipe = Recipe(item_column="product", time_column="time", user_column="visit")
    preprocess(LogSettings(write_log(rows), tmp_path / "days"), recipe, SMALL)
    found = [(row["session_id"], row["item_id"], row["bef_item_id"]) for row in day_file("2024-01-05")]
    assert found == [("u-1704448800", [1, 2], []), ("u-1704452401", [3, 4], [1, 2])]


def test_a_session_over_midnight_stays_whole_in_one_call_and_loses_the_rest_between_two(
    write_log, day_file, tmp_path, recipe
):
    first = [("a", "01-05 23:58:00", 1), ("a", "01-05 23:59:00", 2)]
    second = [
        ("a", "01-06 00:01:00", 3),
        ("a", "01-06 00:02:00", 4),
        ("b", "01-06 10:00:00", 1),
        ("b", "01-06 10:01:00", 4),
    ]
    chosen = recipe()
    preprocess(LogSettings(write_log(first + second), tmp_path / "once"), chosen, SMALL)
    assert [row["item_id"] for row in day_file("2024-01-05", output="once")] == [[1, 2, 3, 4]]
    calls = [preprocess(LogSettings(write_log(rows), tmp_path / "days"), chosen, SMALL) for rows in (first, second)]
    assert [row["item_id"] for day in ("2024-01-05", "2024-01-06") for row in day_file(day)] == [[1, 2], [1, 3]]
    assert calls[1]["events_dropped"] == {"of_a_session_already_written": 2}


@pytest.mark.parametrize("columns", [{}, {"session_column": None, "user_column": "visit"}])
def test_events_after_the_last_midnight_do_not_come_twice(write_log, tmp_path, recipe, columns):
    rows = [("a", "01-05 23:58:00", 1), ("a", "01-06 00:01:00", 2), ("a", "01-06 00:02:00", 3)]
    log, chosen = write_log(rows), recipe(**columns)
    assert preprocess(LogSettings(log, tmp_path / "days"), chosen, SMALL)["days"] == ["2024-01-05"]
    assert preprocess(LogSettings(log, tmp_path / "days"), chosen, SMALL)["days"] == []


def test_a_day_without_a_session_of_two_items_has_empty_files_if_that_is_allowed(write_log, day_file, tmp_path, recipe):
    rows = [("a", "01-06 10:00:00", 1), ("b", "01-05 10:00:00", 1), ("b", "01-05 10:01:00", 2)]
    with pytest.raises(InputError, match=r"the files of 2024-01-06 would be empty.*`allow_empty_days`"):
        preprocess(LogSettings(write_log(rows), tmp_path / "days"), recipe(), SMALL)
    assert not list((tmp_path / "days").glob("session*"))
    preprocess(LogSettings(write_log(rows), tmp_path / "days"), recipe(allow_empty_days=True), SMALL)
    assert [len(day_file(day)) for day in ("2024-01-05", "2024-01-06")] == [1, 0]


def test_hours_in_the_place_of_days(write_log, day_file, tmp_path, recipe, caplog):
    caplog.set_level("INFO")
    rows = [
        ("a", "01-05 13:50:00", 1),
        ("a", "01-05 14:10:00", 2),
        ("b", "01-05 14:20:00", 2),
        ("b", "01-05 14:21:00", 3),
    ]
    preprocess(
        LogSettings(write_log(rows), tmp_path / "days", start_date="2024-01-05-13"), recipe(time_unit="hour"), SMALL
    )
    assert [row["item_id"] for hour in (13, 14) for row in day_file(f"2024-01-05-{hour}")] == [[1, 2], [2, 3]]
    assert "4 of 4 events are in the sessions of 2 hours" in caplog.text


def test_dates_without_a_time_of_day(write_log, day_file, tmp_path, recipe):
    rows = [
        ("b", "01-05", 7, 1),
        ("a", "01-05", 9, 2),
        ("a", "01-05", 8, 1),
        ("b", "01-05", 9, 2),
        ("a", "01-06", 8, 3),
    ]
    preprocess(LogSettings(write_log(rows, "n"), tmp_path / "days"), recipe(order_column="n"), SMALL)
    rows = day_file("2024-01-05")
    assert [(row["session_id"], row["item_id"]) for row in rows] == [("a", [2, 3, 2]), ("b", [1, 3])]
    assert rows[0]["item_age"] == pytest.approx([0, 0, 0.6931472])
    assert not {"hour_sin", "time_since_last"} & set(rows[0])


def test_spare_ids_enlarge_the_cardinality(write_log, tmp_path, recipe):
    rows = [("a", f"01-05 10:00:{i:02}", i) for i in range(9)]
    preprocess(LogSettings(write_log(rows), tmp_path / "days"), recipe(spare_ids=0.5), SMALL)
    assert yaml.safe_load((tmp_path / "days" / "features.yaml").read_text())["item_id"]["cardinality"] == 15


def test_uuids_are_known_again_on_later_days(day_file, tmp_path):
    log, uuid = tmp_path / "log.parquet", "5b8f8a3e-0000-4000-8000-00000000000"
    rows = ", ".join(f"('{uuid}{day}'::UUID, '2024-01-0{day} 10:0{i}:00'::TIMESTAMP)" for day in (5, 6) for i in (1, 2))
    columns = "visit, visit AS customer, visit AS product, time"
    duckdb.execute(f"COPY (SELECT {columns} FROM (VALUES {rows}) t(visit, time)) TO '{log}' (FORMAT PARQUET)")
    settings = {"session_column": "visit", "user_column": "customer", "drop_repeats": "none"}
    recipe = Recipe(item_column="product", time_column="time", **settings)
    for day in ("2024-01-05", "2024-01-06"):
        preprocess(LogSettings(log, tmp_path / "days", end_date=day), recipe, SMALL)
    (row,) = day_file("2024-01-06")
    assert (row["session_id"], row["user_id"], row["item_id"]) == (f"{uuid}6", f"{uuid}6", [2, 2])


def test_integer_ids_keep_all_their_digits(write_log, day_file, tmp_path, recipe):
    visit, products = 2**53 + 1, [2**53 + 1, 2**53 + 2, 2**53 + 3]
    rows = [(visit, f"01-05 10:00:0{i}", product) for i, product in enumerate(products)]
    preprocess(LogSettings(write_log(rows), tmp_path / "days"), recipe(), SMALL)
    assert day_file("2024-01-05")[0]["session_id"] == visit
    vocabulary = pq.read_table(tmp_path / "days" / "vocabulary" / "item_id.parquet").to_pydict()
    assert (vocabulary["raw"], vocabulary["id"]) == (products, [1, 2, 3])
    assert "session_id" in yaml.safe_load((tmp_path / "days" / "features.yaml").read_text())


def test_the_recipe_of_the_documented_log_gives_its_documented_names(tmp_path):
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    lines = [
        "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,72d76fde",
        "2019-10-01 00:00:09 UTC,view,3900821,2053013552326770905,appliances.environment,aqua,33.20,541312140,72d76fde",
    ]
    (tmp_path / "2019-Oct.csv").write_text("\n".join([header, *lines]))
    recipe = read_recipe(REPOSITORY / "datasets" / "ecommerce-large" / "preprocessing.yaml")
    preprocess(LogSettings(tmp_path / "2019-Oct.csv", tmp_path / "days"), recipe, SMALL)
    (row,) = pq.read_table(tmp_path / "days" / "session_start_date=2019-10-01-train.parquet").to_pylist()
    assert row["sess_pid_seq"] == row["sess_ccid_seq"] == [1, 2]
    assert row["sess_relative_price_to_avg_category_seq"] == [0, 0]
    assert row["sess_dtime_secs_log_norm_seq"] == pytest.approx([-1, 1])
    assert row["sess_et_hour_cos_seq"] == [1, 1]
    assert row["bef_sess_pid_seq"] == []
    names = [name for name in row if name.startswith("sess_")]
    assert len(names) == 13
    assert {f"bef_{name}" for name in names} | {*names, "session_id", "session_start", "user_id"} == set(row)


def test_the_clothing_shop_of_2008(tmp_path):
    log = REPOSITORY.parent / "shared" / "data" / "eshop2008" / "events.parquet"
    if not log.exists():
        pytest.skip(f"{log} is not there")
    recipe = read_recipe(REPOSITORY / "datasets" / "eshop2008" / "preprocessing.yaml")
    call = preprocess(LogSettings(log, tmp_path / "days", end_date="2008-04-10"), recipe, SMALL)
    assert len(call["days"]) == 10
    raw = pq.read_table(log).to_pylist()
    first = [row["item_id"] for row in raw if row["session_id"] == 1]
    words = pq.read_table(tmp_path / "days" / "vocabulary" / "item_id.parquet").to_pydict()
    of_id = dict(zip(words["id"], words["raw"], strict=True))
    row = pq.read_table(tmp_path / "days" / "session_start_date=2008-04-01-train.parquet").to_pylist()[0]
    assert (row["session_id"], [of_id[number] for number in row["item_id"]]) == (1, first)
