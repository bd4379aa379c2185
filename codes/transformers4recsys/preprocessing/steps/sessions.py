"""Events become sessions: by id or by a user's pauses, in order, without repeats, long enough, cut to the last n."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import (
    DAY,
    FIRST_SEEN,
    FROM_END,
    KEY,
    LENGTH,
    ORDER,
    PAUSE,
    POSITION,
    ROW,
    SESSION_ID,
    START,
    TIME,
    Expression,
    column,
    step,
)
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.steps.events import check_type
from transformers4recsys.preprocessing.tables import Kept

ITEMS_MIN = 2
SESSIONS_A_DAY_MAX = 1_000_000_000


@step(needs=(KEY,))
def of_new(events: ir.Table, database: Database, files: Sequence[str], session_id: str) -> ir.Table:
    """Leave out what still comes of sessions that are in the day files of earlier calls."""
    written = database.read("parquet", files).select(**{KEY: session_id})
    check_type("session_id", KEY.of(events), KEY.of(written), files[0])
    # Few of the many sessions written come again, so those are found first.
    again = database.keep(Kept.WRITTEN_AGAIN, written.semi_join(events, KEY))
    return events.anti_join(again, KEY)


@step(needs=(KEY, TIME), gives=(START,))
def with_start(events: ir.Table, gap_minutes: float) -> ir.Table:
    """Add `_start`, the first time of the event's session: a pause of more than the gap begins a new one."""
    in_order = ibis.window(group_by=KEY, order_by=TIME)
    pause = TIME.of(events) - TIME.of(events).lag().over(in_order)
    is_first = (pause > gap_minutes * 60_000).fill_null(True)
    marked = events.mutate(_begins=is_first.ifelse(TIME.of(events), ibis.null("int64")))
    # A range takes in all events of one time, whichever of them comes first.
    so_far = ibis.range_window(group_by=KEY, order_by=TIME, preceding=None, following=0)
    return marked.mutate(**{START: column(marked, "_begins").max().over(so_far)}).drop("_begins")


@step(needs=(KEY, TIME), gives=(KEY, START, DAY, SESSION_ID, ROW), is_new_table=True)
def numbered(events: ir.Table, recipe: Recipe) -> ir.Table:
    """List the sessions: _key, _start, _day, session_id and `_row`, which numbers them by day, start and key.

    Those of a split have one `_day`, that of its training file.
    Without a gap, a `_key` is a session; with one, `_key` and `_start` are (see `with_start`).
    """
    if recipe.gap_minutes is None:
        starts = events.group_by(KEY).agg(**{START: TIME.of(events).min()})
        session_id = KEY.of(starts)
    else:
        starts = events.select(KEY, START).distinct()
        session_id = KEY.of(starts).cast("string") + "-" + (START.of(starts) // 1000).cast("string")
    start: Expression = ibis.literal(times.NO_TIME, type="int64") if recipe.is_split else START.of(starts)
    starts = starts.mutate(**{DAY: times.day_of(start, recipe.time_unit), SESSION_ID: session_id})
    number = ibis.row_number().over(group_by=DAY.of(starts), order_by=[START.of(starts), KEY.of(starts)])
    return starts.mutate(**{ROW: first_row(DAY.of(starts)) + number})


@step(needs=(KEY,), gives=(ROW,), drops=(KEY, START))
def with_row(events: ir.Table, starts: ir.Table) -> ir.Table:
    """Replace what identifies the sessions of `numbered` by `_row`."""
    keys = [name for name in (KEY, START) if name in events.columns]
    joined = events.join(starts.select(*keys, ROW), keys)
    return joined.select(*(name for name in events.columns if name not in keys), ROW)


def events_of_day(events: ir.Table) -> ir.Table:
    """Count the events of the sessions that start on each day."""
    return events.group_by(day=day_of_row(events)).agg(events=ibis._.count())


def day_of_row(table: ir.Table) -> Expression:
    return ROW.of(table) // SESSIONS_A_DAY_MAX


def first_row(day: Expression) -> Expression:
    """Give the smallest `_row` of a day, which is a number or a column."""
    return day * SESSIONS_A_DAY_MAX


def of_days(table: ir.Table, first_day: int, last_day: int) -> ir.Table:
    """Choose the rows of sessions that start on these days, both inclusive."""
    return table.filter((ROW.of(table) >= first_row(first_day)) & (ROW.of(table) < first_row(last_day + 1)))


@step(needs=(ROW, TIME, ITEM), gives=(LENGTH, FROM_END, PAUSE))
def in_order(events: ir.Table, recipe: Recipe) -> ir.Table:
    """Leave repeats out; add the session's `_length`, `_from_end` (0: its last event), and `_pause`.

    `_pause` is the time since the event before, null for the first. Events of one time go by the order
    column, if there is one, then by item; any other column comes last, so that the order is always the same.
    """
    first = [TIME, *([ORDER] if ORDER in events.columns else []), ITEM]
    order = [*first, *(name for name in events.columns if name not in (*first, ROW, FIRST_SEEN))]
    session = ibis.window(group_by=ROW, order_by=order)
    if recipe.drop_repeats == "consecutive":
        events = events.mutate(_before=column(events, ITEM).lag().over(session))
        before = column(events, "_before")
        events = events.filter(before.isnull() | (before != column(events, ITEM))).drop("_before")
    elif recipe.drop_repeats == "all":
        events = events.mutate(_times=ibis.row_number().over(group_by=[ROW, ITEM], order_by=order))
        events = events.filter(column(events, "_times") == 0).drop("_times")
    measures = {
        LENGTH: column(events, ITEM).count().over(ibis.window(group_by=ROW)),
        "_from_start": ibis.row_number().over(session),
        PAUSE: TIME.of(events) - TIME.of(events).lag().over(session),
    }
    events = events.mutate(**measures)
    return events.mutate(**{FROM_END: LENGTH.of(events) - 1 - column(events, "_from_start")}).drop("_from_start")


def counts(ordered: ir.Table, recipe: Recipe) -> ir.Table:
    """Count, by day, what `in_order` gave, and what `kept` will leave out of it."""
    is_short, is_cut = _is_short(ordered), _is_cut(ordered, recipe)
    return ordered.group_by(day=day_of_row(ordered)).agg(
        ordered=ibis._.count(),
        in_a_short_session=is_short.sum(),
        before_the_last_n=(~is_short & is_cut).sum(),
        events=(~is_short & ~is_cut).sum(),
    )


@step(needs=(LENGTH, FROM_END), gives=(POSITION,))
def kept(ordered: ir.Table, recipe: Recipe) -> ir.Table:
    """Leave out short sessions, and all but the last n events; add `_position`, from 0 in what is left."""
    table = ordered.filter(~_is_short(ordered) & ~_is_cut(ordered, recipe))
    length: Expression = LENGTH.of(table)
    if not recipe.is_split:
        length = ibis.least(length, recipe.session_length_max)
    return table.mutate(**{POSITION: length - 1 - FROM_END.of(table)})


def _is_short(ordered: ir.Table) -> Expression:
    return LENGTH.of(ordered) < ITEMS_MIN


def _is_cut(ordered: ir.Table, recipe: Recipe) -> Expression:
    # A split cuts each of its files by itself.
    return ibis.literal(False) if recipe.is_split else FROM_END.of(ordered) >= recipe.session_length_max
