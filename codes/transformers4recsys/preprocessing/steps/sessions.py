"""Events become sessions: by id or by a user's pauses, in order, without repeats, long enough, cut to the last n."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.steps.events import check_type

ITEMS_MIN = 2
SESSIONS_A_DAY_MAX = 1_000_000_000


def of_new(database: Database, events: ir.Table, files: Sequence[str], session_id: str) -> ir.Table:
    """Leave out what still comes of sessions that are in the day files of earlier calls."""
    written = database.read("parquet", files).select(_key=session_id)
    check_type("session_id", events["_key"], written["_key"], files[0])
    # Few of the many sessions written come again, so those are found first.
    again = database.keep("sessions again", written.semi_join(events, "_key"))
    return events.anti_join(again, "_key")


def with_start(events: ir.Table, gap_minutes: float) -> ir.Table:
    """Add `_start`, the first time of the event's session: a pause of more than the gap begins a new one."""
    in_order = ibis.window(group_by="_key", order_by="_time")
    pause = events["_time"] - events["_time"].lag().over(in_order)
    is_first = (pause > gap_minutes * 60_000).fill_null(True)
    marked = events.mutate(_begins=is_first.ifelse(events["_time"], ibis.null("int64")))
    # A range takes in all events of one time, whichever of them comes first.
    so_far = ibis.range_window(group_by="_key", order_by="_time", preceding=None, following=0)
    return marked.mutate(_start=marked["_begins"].max().over(so_far)).drop("_begins")


def numbered(events: ir.Table, recipe: Recipe) -> ir.Table:
    """List the sessions: _key, _start, _day, session_id and `_row`, which numbers them by day, start and key.

    Those of a split have one `_day`, that of its training file.
    Without a gap, a `_key` is a session; with one, `_key` and `_start` are (see `with_start`).
    """
    if recipe.gap_minutes is None:
        starts = events.group_by("_key").agg(_start=events["_time"].min())
        session_id = starts["_key"]
    else:
        starts = events.select("_key", "_start").distinct()
        session_id = starts["_key"].cast("string") + "-" + (starts["_start"] // 1000).cast("string")
    start = ibis.literal(times.NO_TIME, type="int64") if recipe.is_split else starts["_start"]
    starts = starts.mutate(_day=times.day_of(start, recipe.time_unit), session_id=session_id)
    number = ibis.row_number().over(group_by=starts["_day"], order_by=[starts["_start"], starts["_key"]])
    return starts.mutate(_row=first_row(starts["_day"]) + number)


def with_row(events: ir.Table, starts: ir.Table) -> ir.Table:
    """Replace what identifies the sessions of `numbered` by `_row`."""
    keys = [name for name in ("_key", "_start") if name in events.columns]
    joined = events.join(starts.select(*keys, "_row"), keys)
    return joined.select(*(name for name in events.columns if name not in keys), "_row")


def events_of_day(events: ir.Table) -> ir.Table:
    """Count the events of the sessions that start on each day."""
    return events.group_by(day=day_of_row(events)).agg(events=ibis._.count())


def day_of_row(table: ir.Table) -> ir.IntegerColumn:
    return table["_row"] // SESSIONS_A_DAY_MAX


def first_row(day: int | ir.IntegerColumn) -> int | ir.IntegerColumn:
    """Give the smallest `_row` of a day."""
    return day * SESSIONS_A_DAY_MAX


def of_days(table: ir.Table, first_day: int, last_day: int) -> ir.Table:
    """Choose the rows of sessions that start on these days, both inclusive."""
    return table.filter((table["_row"] >= first_row(first_day)) & (table["_row"] < first_row(last_day + 1)))


def in_order(events: ir.Table, recipe: Recipe) -> ir.Table:
    """Leave repeats out; add the session's `_length`, `_from_end` (0: its last event), and `_pause`.

    `_pause` is the time since the event before, null for the first. Events of one time go by the order
    column, if there is one, then by item; any other column comes last, so that the order is always the same.
    """
    first = ["_time", *(["_order"] if "_order" in events.columns else []), ITEM]
    order = [*first, *(name for name in events.columns if name not in (*first, "_row", "_first_seen"))]
    session = ibis.window(group_by="_row", order_by=order)
    if recipe.drop_repeats == "consecutive":
        events = events.mutate(_before=events[ITEM].lag().over(session))
        events = events.filter(events["_before"].isnull() | (events["_before"] != events[ITEM])).drop("_before")
    elif recipe.drop_repeats == "all":
        events = events.mutate(_times=ibis.row_number().over(group_by=["_row", ITEM], order_by=order))
        events = events.filter(events["_times"] == 0).drop("_times")
    events = events.mutate(
        _length=events[ITEM].count().over(ibis.window(group_by="_row")),
        _from_start=ibis.row_number().over(session),
        _pause=events["_time"] - events["_time"].lag().over(session),
    )
    return events.mutate(_from_end=events["_length"] - 1 - events["_from_start"]).drop("_from_start")


def counts(ordered: ir.Table, recipe: Recipe) -> ir.Table:
    """Count, by day, what `in_order` gave, and what `kept` will leave out of it."""
    is_short, is_cut = _is_short(ordered), _is_cut(ordered, recipe)
    return ordered.group_by(day=day_of_row(ordered)).agg(
        ordered=ibis._.count(),
        in_a_short_session=is_short.sum(),
        before_the_last_n=(~is_short & is_cut).sum(),
        events=(~is_short & ~is_cut).sum(),
    )


def kept(ordered: ir.Table, recipe: Recipe) -> ir.Table:
    """Leave out short sessions, and all but the last n events; add `_position`, from 0 in what is left."""
    table = ordered.filter(~_is_short(ordered) & ~_is_cut(ordered, recipe))
    length = table["_length"] if recipe.is_split else ibis.least(table["_length"], recipe.session_length_max)
    return table.mutate(_position=length - 1 - table["_from_end"])


def _is_short(ordered: ir.Table) -> ir.BooleanColumn:
    return ordered["_length"] < ITEMS_MIN


def _is_cut(ordered: ir.Table, recipe: Recipe) -> ir.BooleanColumn:
    # A split cuts each of its files by itself.
    return ibis.literal(False) if recipe.is_split else ordered["_from_end"] >= recipe.session_length_max
