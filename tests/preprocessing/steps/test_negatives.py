"""Negative columns beside what the day files say of the days before them."""

import json
import math
import random
from collections import Counter
from datetime import datetime, timedelta

import ibis
import pyarrow.parquet as pq
import pytest

from transformers4recsys.cli import main
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import NEG_STRATEGIES, read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.steps import negatives

SMALL = DatabaseChoice(memory_limit="500MB", threads=1)
DAYS = ("2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08")


@pytest.fixture
def drawn(write_log, recipe, tmp_path, day_file):
    """Draw for a log of (visit, time, product); give rows of a day as (items, negatives by position), in raw ids."""

    def draw(log, day, **settings):
        preprocess(LogSettings(write_log(log), tmp_path / "days"), recipe(**settings), SMALL)
        words = pq.read_table(tmp_path / "days" / "vocabulary" / "item_id.parquet").to_pylist()
        raw = {0: None} | {word["id"]: word["raw"] for word in words}
        num = settings["neg_samples"]
        rows = []
        for row in day_file(day):
            ids = [raw[number] for number in row["_neg_item_id"]]
            rows.append(
                ([raw[number] for number in row["item_id"]], [ids[i : i + num] for i in range(0, len(ids), num)])
            )
        return rows

    return draw


@pytest.mark.parametrize("strategy", NEG_STRATEGIES)
def test_negatives_are_different_items_of_the_window_and_none_of_the_session(
    tmp_path, shop, random_log, write_events, day_file, strategy
):
    chosen = read_recipe(
        None,
        vars(shop)
        | {
            "neg_samples": 3,
            "neg_strategy": strategy,
            "neg_window_days": 2,
            "allow_shared_sessions": True,
            "allow_long_sessions": True,
        },
    )
    log = [row for seed in range(4) for row in random_log(seed)]
    preprocess(LogSettings(write_events(log, tmp_path / "logs" / "log.parquet"), tmp_path / "days"), chosen, SMALL)
    num_late = 0
    for day in DAYS:
        start = datetime.fromisoformat(day)
        earlier = [f"{start - timedelta(days=n):%Y-%m-%d}" for n in (1, 2)]
        clicks = [
            click
            for then in earlier
            if then in DAYS
            for row in day_file(then)
            for click in zip(row["item_id"], row["event_time"], strict=True)
        ]
        allowed = {item for item, time in clicks if time < start}
        num_late += len({item for item, _ in clicks} - allowed)
        for split in ("train", "valid", "test"):
            for row in day_file(day, split):
                assert len(row["_neg_item_id"]) == 3 * len(row["item_id"])
                for i in range(0, len(row["_neg_item_id"]), 3):
                    at_position = row["_neg_item_id"][i : i + 3]
                    real = [item for item in at_position if item]
                    assert set(real) <= allowed - set(row["item_id"])
                    assert len(set(real)) == len(real) and at_position[: len(real)] == real
                    assert len(real) == min(3, len(allowed - set(row["item_id"])))
    assert num_late


@pytest.mark.parametrize("strategy", ["recency", "session_cooccurrence"])
def test_days_one_by_one_in_any_order_of_rows_and_in_small_parts_give_the_same(
    tmp_path, shop, random_log, write_events, day_file, monkeypatch, strategy
):
    chosen = read_recipe(None, vars(shop) | {"neg_samples": 4, "neg_strategy": strategy, "neg_window_days": 2})
    starts = {}
    for row in random_log(5):
        if row["time"]:
            starts.setdefault(row["visit"], set()).add(f"{row['time']:%Y-%m-%d}")
    log = [row for row in random_log(5) if row["time"] and len(starts[row["visit"]]) == 1]
    preprocess(LogSettings(write_events(log, tmp_path / "logs" / "log.parquet"), tmp_path / "whole"), chosen, SMALL)
    for day in DAYS:
        preprocess(
            LogSettings(
                write_events(
                    [row for row in log if f"{row['time']:%Y-%m-%d}" == day], tmp_path / "logs" / f"{day}.parquet"
                ),
                tmp_path / "by_day",
            ),
            chosen,
            SMALL,
        )
    random.Random(0).shuffle(log)
    monkeypatch.setattr(negatives, "DRAWS_AT_A_TIME", 500)
    monkeypatch.setattr(DuckDB, "events_at_a_time", 1)
    other = write_events(log, tmp_path / "logs" / "shuffled.parquet")
    preprocess(LogSettings(other, tmp_path / "in_parts"), chosen, DatabaseChoice(memory_limit="500MB", threads=3))
    for day in DAYS:
        for split in ("train", "valid", "test"):
            whole = day_file(day, split, "whole")
            assert whole == day_file(day, split, "by_day") == day_file(day, split, "in_parts")
    assert any(any(row["_neg_item_id"]) for row in day_file(DAYS[1], output="whole"))


def visits(day, *sessions):
    """Events of sessions, one behind the other, a second apart."""
    return [
        (f"{day}-{number}", f"{day} {number // 3600:02}:{number // 60 % 60:02}:{second:02}", item)
        for number, items in enumerate(sessions)
        for second, item in enumerate(items)
    ]


# a: 4 clicks two days ago; b: 4 then and 4 yesterday; c: 2 yesterday. A day takes half of the weight.
TWO_DAYS = [*visits("01-05", *["ab"] * 4), *visits("01-06", *["bcb"] * 2)]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("uniform", {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ("recency", {"a": 0.2, "b": 0.4, "c": 0.4}),
        ("recent_popularity", {"a": 0.2, "b": 0.6, "c": 0.2}),
    ],
)
def test_items_are_drawn_in_proportion_to_their_weights(drawn, strategy, expected):
    log = TWO_DAYS + visits("01-07", *["xyz"] * 1200)
    rows = drawn(log, "2024-01-07", neg_samples=1, neg_strategy=strategy, neg_decay=0.5)
    found = Counter(item for _, lists in rows for (item,) in lists)
    # Four deviations of a share of a half among 3600 draws are 0.033.
    assert {item: count / 3600 for item, count in found.items()} == pytest.approx(expected, abs=0.033)


def test_items_are_drawn_out_of_sessions_with_the_item_of_the_position(drawn):
    log = visits("01-05", *["ab", "fg"] * 3, "ac", "de") + visits("01-06", *["azd"] * 1000)
    rows = drawn(log, "2024-01-06", neg_samples=1, neg_strategy="session_cooccurrence")
    beside_a, beside_z, beside_d = (Counter(lists[place][0] for _, lists in rows) for place in range(3))
    assert set(beside_a) == {"b", "c"} and beside_d == {"e": 1000}
    assert beside_a["b"] / 1000 == pytest.approx(0.75, abs=0.055)
    # No session had z: clicks alone count, of all but a and d; 3 of these 11 are of b.
    assert set(beside_z) == {*"bcefg"} and beside_z["b"] / 1000 == pytest.approx(3 / 11, abs=0.057)


def test_what_is_missing_beside_an_item_is_filled_up(drawn):
    log = visits("01-05", "ab", "ac", "de") + visits("01-06", *["dz"] * 50)
    rows = drawn(log, "2024-01-06", neg_samples=3, neg_strategy="session_cooccurrence")
    assert all(lists[0][0] == "e" and set(lists[0][1:]) < {"a", "b", "c"} for _, lists in rows)


@pytest.mark.parametrize("strategy", NEG_STRATEGIES)
def test_clicks_after_midnight_are_not_the_past_of_their_own_day(drawn, strategy):
    night = [("n", "01-05 23:59:58", "early"), ("n", "01-05 23:59:59", "too"), ("n", "01-06 00:00:00", "late")]
    log = night + visits("01-06", "xy") + visits("01-07", "xy")
    rows = drawn(log, "2024-01-06", neg_samples=5, neg_strategy=strategy, neg_window_days=9)
    assert all({*lists[0], *lists[1]} == {"early", "too", None} for _, lists in rows)


def test_what_stands_beside_an_item_after_midnight_is_not_known_on_that_day(drawn):
    night = [("n", "01-05 23:59:58", "a"), ("n", "01-05 23:59:59", "b"), ("n", "01-06 00:00:00", "c")]
    log = night + visits("01-05", *["fg"] * 20) + visits("01-06", *["cz"] * 200)
    rows = drawn(log, "2024-01-06", neg_samples=1, neg_strategy="session_cooccurrence")
    beside_c = Counter(lists[0][0] for items, lists in rows if "z" in items)
    # Drawn by clicks, of which f and g have 40 out of 42.
    assert beside_c["f"] + beside_c["g"] > 170


def test_hours_draw_from_the_hours_before(drawn):
    log = [(f"v{hour}", f"01-05 {hour:02}:00:0{n}", f"{hour}{n}") for hour in (1, 2, 3) for n in (0, 1)]
    log += [("w", "01-06 02:00:00", "x"), ("w", "01-06 02:00:01", "y")]
    rows = drawn(log, "2024-01-06-02", neg_samples=4, neg_window_days=1, time_unit="hour")
    assert all(set(lists[0]) == {"20", "21", "30", "31"} for _, lists in rows)


def test_places_part_all_chances_by_weight(table):
    weights = table(_target=[7, 7, 7, 8], _item=[1, 2, 3, 1], _weight=[1, 2, 5, 9])
    places = negatives.places_of(weights).to_pyarrow().to_pylist()
    ends = {(row["_target"], row["_drawn"]): (row["_since"], row["_until"]) for row in places}
    eighth = negatives.CHANCES // 8
    assert ends == {
        (7, 1): (0, eighth),
        (7, 2): (eighth, 3 * eighth),
        (7, 3): (3 * eighth, 8 * eighth),
        (8, 1): (0, negatives.CHANCES),
    }
    buckets = {key: sorted(r["_bucket"] for r in places if (r["_target"], r["_drawn"]) == key) for key in ends}
    assert all(
        buckets[key] == list(range(since // negatives.BUCKET, (until - 1) // negatives.BUCKET + 1))
        for key, (since, until) in ends.items()
    )


def test_chances_are_alike_and_independent(table):
    numbers = table(row=[20_000_000_000_000 + n for n in range(40) for _ in range(400)], at=[*range(400)] * 40)
    hashed = numbers.select("row", "at", c=negatives.chance(numbers["row"], numbers["at"], ibis.literal(3)))
    by_place = {(r["row"], r["at"]): r["c"] for r in hashed.to_pyarrow().to_pylist()}
    assert min(by_place.values()) >= 0 and max(by_place.values()) < negatives.CHANCES
    sixteenths = Counter(c * 16 // negatives.CHANCES for c in by_place.values())
    # Chi-square with 15 degrees of freedom: above 37.7 once in a thousand times.
    assert sum((sixteenths[n] - 1000) ** 2 / 1000 for n in range(16)) < 37.7
    for row_step, at_step in ((0, 1), (1, 0), (1, 1)):
        pairs = Counter(
            (c * 4 // negatives.CHANCES, by_place[row + row_step, at + at_step] * 4 // negatives.CHANCES)
            for (row, at), c in by_place.items()
            if (row + row_step, at + at_step) in by_place
        )
        expected = sum(pairs.values()) / 16
        assert sum((pairs[a, b] - expected) ** 2 / expected for a in range(4) for b in range(4)) < 37.7


@pytest.mark.parametrize("config", ["features.yaml", "features_item_id.yaml"])
def test_train_reads_the_column(write_log, tmp_path, config):
    draw = random.Random(0)
    days = ("01-05", "01-06", "01-07")
    log = [event for day in days for event in visits(day, *(draw.sample("abcdefghij", 3) for _ in range(20)))]
    columns = "--item_column product --time_column time --session_column visit"
    drawing = "--neg_samples 3 --neg_strategy session_cooccurrence"
    made = f"preprocess --input {write_log(log)} --output {tmp_path}/days {columns} {drawing}"
    assert main(made.split()) == 0
    train = (
        f"train --data_path {tmp_path}/days --feature_config {tmp_path}/days/{config} --output_dir {tmp_path}/results "
        "--do_train --do_eval --start_date 2024-01-06 --end_date 2024-01-07 --model_type gpt2 --d_model 8 --n_layer 1 "
        "--n_head 1 --loss_type cross_entropy_neg --neg_rescale_factor 1 --all_rescale_factor 0 --max_steps 3 "
        "--learning_rate 0 --report_to none --save_steps 0"
    )
    assert main(train.split()) == 0
    losses = json.loads((tmp_path / "results" / "trainer_state.json").read_text())["log_history"]
    # A label among 3 negatives, before anything is learnt; without a negative it would be 0.
    assert losses[0]["train_loss"] == pytest.approx(math.log(1 + 3), abs=0.05)
