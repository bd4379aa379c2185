"""What is in the files of an output folder: counts by day, distributions, what was dropped, and a check for leaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ibis
from ibis.expr import types as ir

from transformers4recsys.day_format import EVAL_SPLITS, SPLITS, TEST, TRAIN, VALID, vocabulary_file
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import DAY, SESSION_ID, Expression, column
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.manifest import Manifest, open_manifest
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.report import leaks
from transformers4recsys.preprocessing.report import page as report_page
from transformers4recsys.preprocessing.staging import scratch
from transformers4recsys.preprocessing.steps import day_files
from transformers4recsys.preprocessing.tables import Kept

JSON_FILE, PAGE_FILE = "report.json", "report.html"
POINTS_OF_CURVE = 200


def write(output: Path, recipe: Recipe, chosen: DatabaseChoice) -> None:
    """Write report.json and report.html about all days of `output`; raise InputError if it has none."""
    manifest = open_manifest(output, recipe)
    if not manifest.days:
        raise InputError(f"`report`: {output} has no day files to report on")
    with scratch(output, chosen.folder_for(output)) as spill:
        database = DuckDB(spill, memory_limit=chosen.memory_limit, threads=chosen.threads)
        try:
            found = report_of(database, output, recipe, manifest)
        finally:
            database.close()
    (output / JSON_FILE).write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / PAGE_FILE).write_text(report_page.page(found), encoding="utf-8")


def report_of(database: Database, output: Path, recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
    """Measure the training files, and check them against the evaluation files."""
    tables = {split: day_files.read(database, output, list(manifest.days), split, recipe) for split in SPLITS}
    sessions = tables[TRAIN]
    events = database.keep(Kept.TRAIN_EVENTS, events_of(sessions, recipe))
    return {
        "settings": recipe.as_dict(),
        "has_time": bool(recipe.time_column),
        **accounts(manifest),
        "totals": _totals(database, sessions, events, manifest),
        "by_day": by_day(database, events, recipe),
        "lengths": _lengths(database, sessions),
        "popularity": popularity(_items_by_count(database, events)),
        "columns": _columns(database, output, recipe),
        "leaks": leaks.check(database, sessions, tables[VALID].union(tables[TEST]), recipe),
    }


def events_of(sessions: ir.Table, recipe: Recipe) -> ir.Table:
    """List the events of sessions with their day: of the file they are in, or their own where a split has one file."""
    events = column(sessions, "event_time").zip(sessions[ITEM])
    each = sessions.select(SESSION_ID, "session_start", "user_id", _event=events)
    each = each.mutate(_event=column(each, "_event").unnest())
    event_time, item = (column(each, "_event")[field] for field in ("f1", "f2"))
    time = times.of_timestamp(event_time if recipe.is_split else column(each, "session_start"))
    return each.select(SESSION_ID, "user_id", item=item, **{DAY: times.day_of(time, recipe.time_unit)})


def accounts(manifest: Manifest) -> dict[str, Any]:
    """Add up, over all calls, what was read, dropped, written and found odd."""
    names = ("events_read", "events_written", "events_without_price")
    sums: dict[str, Any] = {name: sum(call[name] for call in manifest.calls) for name in names}
    dropped: dict[str, int] = {}
    for call in manifest.calls:
        for reason, count in call["events_dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + count
    checks: dict[str, int] = {}
    for call in manifest.calls:
        for name, count in call.get("checks", {}).items():
            if isinstance(count, int):
                checks[name] = checks.get(name, 0) + count
    adds_up = sums["events_read"] == sums["events_written"] + sum(dropped.values())
    return sums | {"events_dropped": dropped, "checks": checks, "adds_up": adds_up}


def by_day(database: Database, events: ir.Table, recipe: Recipe) -> list[dict[str, Any]]:
    """Count events, sessions, users, items, items never seen before, and repeats in a session, day by day."""
    first = events.group_by("item").agg(_first_day=DAY.of(events).min())
    known = events.join(first, "item")
    is_new: Expression = DAY.of(known) == known["_first_day"]
    counts = known.group_by(DAY).agg(
        events=known.count(),
        sessions=known["session_id"].nunique(),
        users=known["user_id"].nunique(),
        items=known["item"].nunique(),
        new_items=known["item"].nunique(where=is_new),
        events_on_new_items=is_new.sum(),
    )
    once = events.group_by(DAY, SESSION_ID).agg(different=events["item"].nunique())
    once = once.group_by(DAY).agg(different=column(once, "different").sum())
    rows = database.rows(counts.join(once, DAY).select(counts, "different").order_by(DAY))
    return [
        {"day": times.label(row.pop(DAY), recipe.time_unit)}
        | {"repeats": row["events"] - row.pop("different")}
        | {name: int(value) for name, value in row.items()}
        for row in rows
    ]


def popularity(items_by_count: Mapping[int, int]) -> dict[str, Any]:
    """Tell how events spread over items, from how many items have each count of events.

    `curve` holds (rank, events) of the items from the most popular on, `top` the share of the first 1 and 10 %.
    """
    num_items, num_events = sum(items_by_count.values()), sum(n * c for c, n in items_by_count.items())
    steps, rank = [], 0
    for count in sorted(items_by_count, reverse=True):
        steps += [(rank + 1, count), (rank + items_by_count[count], count)]
        rank += items_by_count[count]
    curve = [steps[i] for i in range(len(steps)) if i == 0 or steps[i] != steps[i - 1]]
    growth = max(num_items, 2) ** (1 / POINTS_OF_CURVE)
    sparse: list[tuple[int, int]] = []
    for point in curve:
        if not sparse or point[0] >= sparse[-1][0] * growth or point == curve[-1]:
            sparse.append(point)
    top = {}
    for percent in (1, 10):
        left = wanted = max(1, round(num_items * percent / 100))
        share = 0
        for count in sorted(items_by_count, reverse=True):
            taken = min(left, items_by_count[count])
            share, left = share + taken * count, left - taken
        top[f"{percent} %"] = {"items": wanted, "share": share / num_events}
    return {
        "items": num_items,
        "once": items_by_count.get(1, 0),
        "top": top,
        "curve": [list(point) for point in sparse],
    }


def _items_by_count(database: Database, events: ir.Table) -> dict[int, int]:
    counts = events.group_by("item").agg(events=ibis._.count())
    rows = database.rows(counts.group_by("events").agg(items=counts.count()))
    return {row["events"]: row["items"] for row in rows}


def _totals(database: Database, sessions: ir.Table, events: ir.Table, manifest: Manifest) -> dict[str, Any]:
    found = database.rows(
        events.agg(
            events=events.count(),
            users=events["user_id"].nunique(),
            items=events["item"].nunique(),
            different=events.select("session_id", "item").distinct().count().as_scalar(),
        )
    )[0]
    train = database.rows(sessions.agg(rows=sessions.count()))[0]["rows"]
    halves = {f"{half}_rows": sum(day[f"{half}_sessions"] for day in manifest.days.values()) for half in EVAL_SPLITS}
    return {
        "events": found["events"],
        "sessions": train,
        "users": found["users"] or None,
        "items": found["items"],
        "repeats": found["events"] - found["different"],
        "mean_length": round(found["events"] / train, 3),
        "train_rows": train,
        **halves,
        "days": len(manifest.days),
    }


def _lengths(database: Database, sessions: ir.Table) -> list[list[int]]:
    lengths = sessions.group_by(length=column(sessions, ITEM).length()).agg(sessions=ibis._.count())
    return [[row["length"], row["sessions"]] for row in database.rows(lengths.order_by("length"))]


def _columns(database: Database, output: Path, recipe: Recipe) -> dict[str, dict[str, int]]:
    """Count, of each column that became ids, its values, those of a single event, and the events without one."""
    found = {}
    for name in recipe.categorical:
        path = output / vocabulary_file(recipe.output_name(name))
        table = database.read("parquet", [str(path)])
        is_missing: Expression = table["raw"].isnull()
        count = column(table, "count")
        row = database.rows(
            table.agg(
                values=(~is_missing).sum(),
                once=((count == 1) & ~is_missing).sum(),
                events=count.sum(),
                missing=count.sum(where=is_missing),
            )
        )[0]
        found[recipe.output_name(name)] = {key: int(value or 0) for key, value in row.items()}
    return found
