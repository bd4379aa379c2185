"""The whole way from a log to day files, beside a twin in plain Python."""

import hashlib
import math
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import groupby

import pyarrow.parquet as pq
import pytest

from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.pipeline import bundles
from transformers4recsys.preprocessing.run import LogSettings, preprocess

DAY = timedelta(days=1)


def midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def ids(events: list[dict], name: str) -> dict:
    """Number the values of a column by first appearance; ties by value, None last."""
    first: dict = {}
    for event in events:
        first[event[name]] = min(first.get(event[name], event["time"]), event["time"])
    order = sorted(first, key=lambda raw: (first[raw], raw is None, raw or ""))
    return {raw: number for number, raw in enumerate(order, start=1)}


def category_price(events: list[dict], category: str, time: datetime, fitted: datetime) -> float | None:
    """Mean price of the category on the fitted day itself, or on all days before."""
    day = midnight(time)
    known = [
        event["price"]
        for event in events
        if event["category"] == category
        and event["price"] is not None
        and (midnight(event["time"]) <= fitted if day <= fitted else midnight(event["time"]) < day)
    ]
    return sum(known) / len(known) if known else None


def plain_twin(log: list[dict], *, session_length_max: int, past_length_max: int) -> list[dict]:
    """Turn events (visit, user, time, product, category, brand, price) into sessions, by start and id."""
    events = [event for event in log if event["product"] is not None and event["time"] is not None]
    numbers = {name: ids(events, name) for name in ("product", "category", "brand")}
    first_seen = {raw: min(e["time"] for e in events if e["product"] == raw) for raw in numbers["product"]}
    fitted = midnight(min(event["time"] for event in events))
    visits = defaultdict(list)
    for event in events:
        visits[event["visit"]].append(
            event | {name: known[event[name]] for name, known in numbers.items()} | {"raw": event}
        )
    sessions = []
    for visit, members in visits.items():
        members.sort(key=lambda e: (e["time"], e["product"]))
        start = members[0]["time"]
        kept = [next(same) for _, same in groupby(members, key=lambda e: e["product"])]
        if len(kept) >= 2:
            for before, event in zip([None, *kept], kept, strict=False):
                event["pause"] = (event["time"] - before["time"]).total_seconds() if before else 0.0
            sessions.append({"session_id": visit, "start": start, "events": kept[-session_length_max:]})
    sessions.sort(key=lambda session: (session["start"], session["session_id"]))
    fit = [e for session in sessions if midnight(session["start"]) == fitted for e in session["events"]]
    standardizer = {
        "price": fit_of([math.log1p(e["price"]) for e in fit if e["price"] is not None]),
        "time_since_last": fit_of([math.log1p(e["pause"]) for e in fit]),
    }
    for session in sessions:
        for event in session["events"]:
            price, raw = event["price"], event["raw"]
            mean = category_price(events, raw["category"], event["time"], fitted)
            event["relative_price"] = price / mean - 1 if price is not None and mean else 0.0
            event["item_age"] = math.log1p((event["time"] - first_seen[raw["product"]]) / DAY)
            event["price"] = (
                (math.log1p(price) - standardizer["price"][0]) / standardizer["price"][1] if price is not None else 0.0
            )
            mean, std = standardizer["time_since_last"]
            event["time_since_last"] = (math.log1p(event["pause"]) - mean) / std
    return [
        {
            "session_id": session["session_id"],
            "day": f"{session['start']:%Y-%m-%d}",
            "half": "valid" if hashlib.md5(session["session_id"].encode()).hexdigest()[0] < "8" else "test",
            "events": session["events"],
            "past": past_of(session, sessions, past_length_max),
        }
        for session in sessions
    ]


def fit_of(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def past_of(session: dict, sessions: list[dict], length: int) -> list[dict]:
    """Go back through the user's sessions that started earlier until `length` events are there."""
    user = session["events"][0]["user"]
    found: list[dict] = []
    count = 0
    for earlier in reversed(sessions):
        if user is not None and earlier["start"] < session["start"] and earlier["events"][0]["user"] == user:
            if count >= length:
                break
            count += len(earlier["events"])
            found = earlier["events"] + found
    return [event for event in found if event["time"] < session["start"]][-length:]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("events_at_a_time", [1, 120, 1_000_000])
def test_the_plain_twin_makes_the_same_files(
    tmp_path, monkeypatch, shop, random_log, write_events, seed, events_at_a_time
):
    monkeypatch.setattr(DuckDB, "events_at_a_time", events_at_a_time)
    log = random_log(seed)
    preprocess(
        LogSettings(write_events(log, tmp_path / "log.parquet"), tmp_path / "days"), shop, DatabaseChoice(threads=1)
    )
    expected = plain_twin(log, session_length_max=4, past_length_max=5)
    for day in ("2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08"):
        for split in ("train", "valid", "test"):
            rows = pq.read_table(tmp_path / "days" / f"session_start_date={day}-{split}.parquet").to_pylist()
            sessions = [s for s in expected if s["day"] == day and split in ("train", s["half"])]
            assert [row["session_id"] for row in rows] == [session["session_id"] for session in sessions]
            for row, session in zip(rows, sessions, strict=True):
                for prefix, events in (("", session["events"]), ("bef_", session["past"])):
                    for name, of in (("item_id", "product"), ("category", "category"), ("brand", "brand")):
                        assert row[prefix + name] == [event[of] for event in events]
                    assert row[prefix + "event_time"] == [event["time"] for event in events]
                    for name in ("price", "relative_price", "time_since_last", "item_age"):
                        assert row[prefix + name] == pytest.approx([event[name] for event in events], abs=1e-5), name


@pytest.mark.parametrize(
    ("limit", "at_first", "expected"),
    [
        (100, 1, [[1, 2, 4, 5]]),
        (30, 1, [[1, 2], [4], [5]]),
        (30, 3, [[1, 2, 4], [5]]),
        (1, 1, [[1], [2], [4], [5]]),
    ],
)
def test_days_are_bundled_up_to_a_number_of_events(limit, at_first, expected):
    assert bundles({4: 25, 1: 10, 2: 20, 5: 30}, limit, at_first=at_first) == expected


@pytest.mark.parametrize("known", [[1, 2], ["u", "v"]])
def test_a_day_on_which_a_column_holds_no_value_takes_the_type_of_the_days_before(
    tmp_path, write_log, recipe, day_file, known
):
    settings = recipe(user_column="user", categorical_columns=("brand",), past_length_max=5)
    for day, (one, other) in enumerate([known, [None, None], known], start=1):
        rows = [(f"{visit}{day}", f"03-0{day} 10:00:0{second}", f"p{second}", who, who)
                for visit, who in (("a", one), ("b", other)) for second in (1, 2)]  # fmt: skip
        log = write_log(rows, "user", "brand", name=f"{day}.parquet")
        preprocess(LogSettings(str(log), tmp_path / "days"), settings, DatabaseChoice(threads=1))
    without, last = day_file("2024-03-02"), day_file("2024-03-03")
    assert [(row["user_id"], row["brand"], row["bef_brand"]) for row in without] == [(None, [3, 3], [])] * 2
    assert [(row["user_id"], row["brand"], row["bef_brand"]) for row in last] == [
        (known[0], [1, 1], [1, 1]),
        (known[1], [2, 2], [2, 2]),
    ]


def test_a_column_that_never_held_a_value_is_text(tmp_path, write_log, recipe, day_file):
    settings = recipe(user_column="user", categorical_columns=("brand",))
    for day, who in enumerate([None, "u"], start=1):
        rows = [(f"a{day}", f"03-0{day} 10:00:0{second}", f"p{second}", who, who) for second in (1, 2)]
        log = write_log(rows, "user", "brand", name=f"{day}.parquet")
        preprocess(LogSettings(str(log), tmp_path / "days"), settings, DatabaseChoice(threads=1))
    assert [(row["user_id"], row["brand"]) for row in day_file("2024-03-02")] == [("u", [2, 2])]
