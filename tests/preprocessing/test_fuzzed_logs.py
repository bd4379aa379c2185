"""Logs in any dialect, beside a plain reading: rows in are rows written and rows dropped by a named reason, always."""

import csv
import gzip
import json
import tempfile
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess

START = datetime(2024, 1, 5, tzinfo=UTC)
COLUMNS = ["visit", "time", "product", "cost"]
MISSING = ["", "NULL", "\\N", "  "]
TEXT = st.text(st.sampled_from(list("aB7é\"',;|\t\n .\\N")), min_size=1, max_size=4)
IDS = TEXT.filter(lambda text: text.strip() not in MISSING and not text.strip("\n .").isdigit())
TIMES = {
    "iso": lambda time: time.isoformat(" ", "milliseconds").removesuffix("+00:00"),
    "zone": lambda time: (time + timedelta(hours=2)).replace(tzinfo=None).isoformat("T", "milliseconds") + "+02:00",
    "s": lambda time: f"{round(time.timestamp() * 1000) / 1000:.3f}",
    "ms": lambda time: str(round(time.timestamp() * 1000)),
}
ALLOWED = dict.fromkeys(
    ("allow_shared_sessions", "allow_long_sessions", "allow_outlying_times", "allow_empty_days"), True
)


@st.composite
def logs(draw):
    """Draw events, of which some values are missing, and a way to write them down."""
    visits, products = draw(st.lists(IDS, min_size=2, max_size=3)), draw(st.lists(IDS, min_size=2, max_size=4))
    event = st.fixed_dictionaries(
        {
            "visit": st.sampled_from([*visits, *visits, None]),
            "time": st.sampled_from([*(START + timedelta(hours=2, milliseconds=717) * n for n in range(8)), None]),
            "product": st.sampled_from([*products, *products, None]),
            "cost": st.sampled_from([1.5, 107.1, None]),
        }
    )
    rows = draw(st.lists(event, min_size=1, max_size=20))
    rows[0]["cost"] = 1.5
    way = draw(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["csv", "csv", "csv", "jsonl", "parquet"]),
                "separator": st.sampled_from([",", ";", "\t", "|", "::"]),
                "is_quoted": st.booleans(),
                "line_end": st.sampled_from(["\n", "\r\n"]),
                "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
                "decimal": st.sampled_from([".", ","]),
                "times": st.sampled_from(list(TIMES)),
                "is_split": st.booleans(),
                "is_zipped": st.booleans(),
                "missing": st.sampled_from(MISSING),
            }
        )
    )
    return rows, way


def as_text(row, way):
    price = None if row["cost"] is None else str(row["cost"]).replace(".", way["decimal"])
    time = None if row["time"] is None else TIMES[way["times"]](row["time"])
    return {"visit": row["visit"], "time": time, "product": row["product"], "cost": price}


def write_csv(rows, path, way, columns):
    mark = way["separator"] if len(way["separator"]) == 1 else "\x1f"
    quoting = csv.QUOTE_ALL if way["is_quoted"] or mark == "\x1f" else csv.QUOTE_MINIMAL
    with path.with_suffix(".raw").open("w", encoding=way["encoding"], newline="") as file:
        writer = csv.writer(file, delimiter=mark, lineterminator=way["line_end"], quoting=quoting)
        writer.writerow(columns)
        for row in rows:
            values = [as_text(row, way)[name] for name in columns]
            writer.writerow([way["missing"] if value is None else value for value in values])
    content = path.with_suffix(".raw").read_bytes()
    path.with_suffix(".raw").unlink()
    if mark == "\x1f":
        content = content.replace(
            "\x1f".encode(way["encoding"])[-2:] if way["encoding"] == "utf-16" else b"\x1f",
            "::".encode("utf-16-le") if way["encoding"] == "utf-16" else b"::",
        )
    path.write_bytes(gzip.compress(content) if way["is_zipped"] else content)


def write(rows, folder, way):
    """Write the log in one file, or in two with columns in another order; give what the recipe has to say of it."""
    folder.mkdir()
    if way["kind"] == "parquet":
        schema = pa.schema(zip(COLUMNS, [pa.string(), pa.timestamp("ms"), pa.string(), pa.float64()], strict=True))
        plain = [row | {"time": row["time"] and row["time"].replace(tzinfo=None)} for row in rows]
        pq.write_table(pa.Table.from_pylist(plain, schema=schema), folder / "a.parquet")
        return {}
    epoch = {"epoch_unit": way["times"]} if way["times"] in ("s", "ms") else {}
    if way["kind"] == "jsonl":
        text = "".join(json.dumps(as_text(row, way)) + "\n" for row in rows)
        (folder / "a.jsonl").write_text(text)
        return {"decimal": way["decimal"]} | epoch
    half = len(rows) // 2 if way["is_split"] else len(rows)
    ending = ".csv.gz" if way["is_zipped"] else ".csv"
    write_csv(rows[:half], folder / f"a{ending}", way, COLUMNS)
    if rows[half:]:
        write_csv(rows[half:], folder / f"b{ending}", way, COLUMNS[::-1])
    given = {"separator": "::"} if way["separator"] == "::" else {}
    given |= {"encoding": way["encoding"]} if way["encoding"] == "cp1252" else {}
    return given | epoch | {"decimal": way["decimal"]}


def plain_reading(rows):
    """Give the raw items of each session, and the events dropped by reason.

    Events of one time go by their item, in the order in which items came up in the log, and then by raw id.
    """
    dropped, visits = Counter(), defaultdict(list)
    for row in rows:
        lacking = [reason for name, reason in (("product", "no_item"), ("time", "no_time")) if row[name] is None]
        lacking += ["no_session_or_user"] if row["visit"] is None else []
        if lacking:
            dropped[lacking[0]] += 1
        else:
            visits[row["visit"]].append((row["time"], row["product"]))
    sessions, first_seen = {}, {}
    for time, item in sorted(event for events in visits.values() for event in events):
        first_seen.setdefault(item, time)
    for visit, events in visits.items():
        in_order = sorted(events, key=lambda event: (event[0], first_seen[event[1]], event[1]))
        items = [item for item, _ in groupby(item for _, item in in_order)]
        dropped["repeated_item"] += len(events) - len(items)
        if len(items) < 2:
            dropped["in_a_short_session"] += len(items)
        else:
            dropped["before_the_last_n"] += len(items[:-3])
            sessions[visit] = items[-3:]
    return sessions, {reason: count for reason, count in dropped.items() if count}


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(logs())
def test_rows_in_are_rows_written_and_rows_dropped(log):
    rows, way = log
    sessions, dropped = plain_reading(rows)
    with tempfile.TemporaryDirectory() as folder:
        output, raw_folder = Path(folder) / "days", Path(folder) / "raw"
        recipe = Recipe(
            item_column="product",
            time_column="time",
            session_column="visit",
            price_column="cost",
            session_length_max=3,
            **ALLOWED,
            **write(rows, raw_folder, way),
        )
        if not sessions:
            with pytest.raises(
                InputError, match="no event that can be used|no session of two|has a session of two|no such column"
            ):
                preprocess(LogSettings(raw_folder, output), recipe, DatabaseChoice(memory_limit="500MB", threads=1))
            return
        call = preprocess(LogSettings(raw_folder, output), recipe, DatabaseChoice(memory_limit="500MB", threads=1))
        assert (call["events_read"], call["events_dropped"]) == (len(rows), dropped)
        assert call["events_read"] == call["events_written"] + sum(call["events_dropped"].values())
        words = pq.read_table(output / "vocabulary" / "item_id.parquet").to_pylist()
        raw = {row["id"]: row["raw"] for row in words}
        found = [row for path in output.glob("*-train.parquet") for row in pq.read_table(path).to_pylist()]
        assert {row["session_id"]: [raw[i] for i in row["item_id"]] for row in found} == sessions
