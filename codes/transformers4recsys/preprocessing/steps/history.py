"""What a session's user did before it: the last n events of the sessions that started earlier.

Events of theirs at or after its start count among the n before they are left out, so a history can be shorter than n.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import AT, LENGTH, POSITION, ROW, START, TIME, USER, column, step
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.steps import sessions
from transformers4recsys.preprocessing.steps.events import check_type
from transformers4recsys.preprocessing.tables import Kept

# Behind any event of the history.
OWN = 2**40


@step(needs=(ROW, POSITION, TIME), gives=(AT,))
def with_history(events: ir.Table, database: Database, rows: ir.Table, recipe: Recipe) -> ir.Table:
    """Give the events of each of `rows`, and before them those of its history, as `Database.with_lists` takes them.

    `events` are those of `rows` and of all earlier sessions. Bundles of days come one after the other, each known to
    the next.
    """
    numbers = database.keep(Kept.NUMBERED_SESSIONS, numbered(rows, database.find(Kept.USER_SESSIONS)))
    known = database.append(Kept.USER_SESSIONS, numbers)
    pairs = pairs_of(numbers, known, length=recipe.past_length_max, longest=recipe.session_length_max)
    pairs = pairs.union(rows.select(ROW, START, _then=ROW, _first=ibis.literal(OWN, type="int64")))
    joined = pairs.join(events.rename(_of=ROW), [("_then", "_of")])
    # What happened at or after the start is left out: the rest of sessions that overlap.
    joined = joined.filter((TIME.of(joined) < START.of(joined)) | (column(joined, "_first") == OWN))
    return joined.mutate(**{AT: column(joined, "_first") + POSITION.of(joined)})


def numbered(rows: ir.Table, known: ir.Table | None) -> ir.Table:
    """Number each session's first event, `_first`, counting the events of its user, session after session.

    Sessions that are `known` started before all of `rows`. A session without a user is left out.
    """
    rows = rows.select(ROW, USER, START, LENGTH).filter(ibis._[USER].notnull())
    so_far = ibis.window(group_by=USER, order_by=ROW, rows=(None, 0))
    first = (LENGTH.of(rows).sum().over(so_far) - LENGTH.of(rows)).cast("int64")
    rows = rows.mutate(_first=first)
    if known is None:
        return rows
    totals = known.group_by(_known_user=known[USER]).agg(_total=LENGTH.of(known).sum().cast("int64"))
    joined = rows.join(totals, USER.of(rows) == totals["_known_user"], how="left")
    first = column(joined, "_first") + column(joined, "_total").fill_null(0)
    return joined.select(ROW, USER, START, LENGTH, _first=first)


def pairs_of(numbers: ir.Table, known: ir.Table, *, length: int, longest: int) -> ir.Table:
    """Find the sessions, `_then`, with the last `length` events before the start of each `_row`, and their `_first`.

    `numbers` comes from `numbered`; `known` has these sessions and all earlier ones, none with more than
    `longest` events. A session without a history has no pair. The last `length` are those of sessions that started
    earlier: events of theirs at or after the start take up places as well, before `with_history` leaves them out.
    """
    # Sessions that start together know nothing of one another.
    before = column(numbers, "_first").min().over(ibis.window(group_by=[USER, START]))
    now = numbers.select(ROW, USER, START, _before=before).filter(ibis._["_before"] > 0)
    # The sessions wanted begin at most this many events back, so in this block of events or the one before.
    width = length + longest
    now = now.mutate(_block=(column(now, "_before") - 1) // width)
    now = now.union(now.mutate(_block=column(now, "_block") - 1))
    then = known.select("_first", LENGTH, _then=ROW, _of_user=USER, _of_block=column(known, "_first") // width)
    is_wanted = [
        USER.of(now) == then["_of_user"],
        column(now, "_block") == then["_of_block"],
        column(then, "_first") < now["_before"],
        column(then, "_first") + LENGTH.of(then) > column(now, "_before") - length,
    ]
    return now.join(then, is_wanted).select(ROW, START, "_then", "_first")


def remember(database: Database, files: Sequence[str], users: ir.Table, columns: Sequence[str], recipe: Recipe) -> None:
    """Make known the sessions of `users` (column _user) in the day files of earlier calls."""
    table = database.read("parquet", files)
    names = {name: recipe.output_name(name) for name in (*columns, "session_start", "session_id", "user_id")}
    table = table.select(**{name: table[output] for name, output in names.items()})
    table = table.mutate(**{USER: table["user_id"], START: times.of_timestamp(column(table, "session_start"))})
    check_type("user_id", USER.of(users), USER.of(table), files[0])
    table = table.semi_join(users, USER)
    day = times.day_of(START.of(table), recipe.time_unit)
    number = ibis.row_number().over(group_by=day, order_by=[START.of(table), table["session_id"]])
    length = column(table, "event_time").length().cast("int64")
    rows = table.mutate(**{ROW: sessions.first_row(day) + number, LENGTH: length})
    rows = database.keep(Kept.EARLIER_HISTORY, rows.select(ROW, USER, START, LENGTH, *columns))
    database.append(Kept.USER_SESSIONS, numbered(rows, None))
    each = ibis.range(0, LENGTH.of(rows)).zip(*(column(rows, name) for name in columns))
    events = rows.select(ROW, USER, _event=each.unnest())
    event = column(events, "_event")
    values = {name: event[f"f{place}"] for place, name in enumerate(columns, start=2)}
    own = {POSITION: event["f1"].cast("int64"), TIME: times.of_timestamp(values["event_time"])}
    database.append(Kept.EVENTS_OF_ROWS, events.mutate(**own).select(*sorted({ROW, USER, *own}), **values))
