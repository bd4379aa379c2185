"""What a session's user did before it: the last n events of the sessions that started earlier.

Events of theirs at or after its start count among the n before they are left out, so a history can be shorter than n.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.steps import sessions
from transformers4recsys.preprocessing.steps.events import check_type

SESSIONS, EVENTS = "sessions of users", "events of users"
# Behind any event of the history.
OWN = 2**40


def with_history(database: Database, rows: ir.Table, events: ir.Table, recipe: Recipe) -> ir.Table:
    """Give the events of each of `rows`, and before them those of its history, as `Database.with_lists` takes them.

    Bundles of days come one after the other, each known to the next.
    """
    numbers = database.keep("numbers", numbered(rows, database.find(SESSIONS)))
    known = database.append(SESSIONS, numbers)
    events = database.append(EVENTS, events)
    pairs = pairs_of(numbers, known, length=recipe.past_length_max, longest=recipe.session_length_max)
    pairs = pairs.union(rows.select("_row", "_start", _then="_row", _first=ibis.literal(OWN, type="int64")))
    joined = pairs.join(events.rename(_of="_row"), [("_then", "_of")])
    # What happened at or after the start is left out: the rest of sessions that overlap.
    joined = joined.filter((joined["_time"] < joined["_start"]) | (joined["_first"] == OWN))
    return joined.mutate(_at=joined["_first"] + joined["_position"])


def numbered(rows: ir.Table, known: ir.Table | None) -> ir.Table:
    """Number each session's first event, `_first`, counting the events of its user, session after session.

    Sessions that are `known` started before all of `rows`. A session without a user is left out.
    """
    rows = rows.select("_row", "_user", "_start", "_length").filter(ibis._["_user"].notnull())
    so_far = ibis.window(group_by="_user", order_by="_row", rows=(None, 0))
    first = (rows["_length"].sum().over(so_far) - rows["_length"]).cast("int64")
    rows = rows.mutate(_first=first)
    if known is None:
        return rows
    totals = known.group_by(_known_user=known["_user"]).agg(_total=known["_length"].sum().cast("int64"))
    joined = rows.join(totals, rows["_user"] == totals["_known_user"], how="left")
    first = joined["_first"] + joined["_total"].fill_null(0)
    return joined.select("_row", "_user", "_start", "_length", _first=first)


def pairs_of(numbers: ir.Table, known: ir.Table, *, length: int, longest: int) -> ir.Table:
    """Find the sessions, `_then`, with the last `length` events before the start of each `_row`, and their `_first`.

    `numbers` comes from `numbered`; `known` has these sessions and all earlier ones, none with more than
    `longest` events. A session without a history has no pair. The last `length` are those of sessions that started
    earlier: events of theirs at or after the start take up places as well, before `with_history` leaves them out.
    """
    # Sessions that start together know nothing of one another.
    before = numbers["_first"].min().over(ibis.window(group_by=["_user", "_start"]))
    now = numbers.select("_row", "_user", "_start", _before=before).filter(ibis._["_before"] > 0)
    # The sessions wanted begin at most this many events back, so in this block of events or the one before.
    width = length + longest
    now = now.mutate(_block=(now["_before"] - 1) // width)
    now = now.union(now.mutate(_block=now["_block"] - 1))
    then = known.select("_first", "_length", _then="_row", _of_user="_user", _of_block=known["_first"] // width)
    is_wanted = [
        now["_user"] == then["_of_user"],
        now["_block"] == then["_of_block"],
        then["_first"] < now["_before"],
        then["_first"] + then["_length"] > now["_before"] - length,
    ]
    return now.join(then, is_wanted).select("_row", "_start", "_then", "_first")


def remember(database: Database, files: Sequence[str], users: ir.Table, columns: Sequence[str], recipe: Recipe) -> None:
    """Make known the sessions of `users` (column _user) in the day files of earlier calls."""
    table = database.read("parquet", files)
    names = {name: recipe.output_name(name) for name in (*columns, "session_start", "session_id", "user_id")}
    table = table.select(**{name: table[output] for name, output in names.items()})
    table = table.mutate(_user=table["user_id"], _start=times.of_timestamp(table["session_start"]))
    check_type("user_id", users["_user"], table["_user"], files[0])
    table = table.semi_join(users, "_user")
    day = times.day_of(table["_start"], recipe.time_unit)
    number = ibis.row_number().over(group_by=day, order_by=[table["_start"], table["session_id"]])
    length = table["event_time"].length().cast("int64")
    rows = table.mutate(_row=sessions.first_row(day) + number, _length=length)
    rows = database.keep("history", rows.select("_row", "_user", "_start", "_length", *columns))
    database.append(SESSIONS, numbered(rows, None))
    each = ibis.range(0, rows["_length"]).zip(*(rows[name] for name in columns))
    events = rows.select("_row", _event=each.unnest())
    values = {name: events["_event"][f"f{place}"] for place, name in enumerate(columns, start=2)}
    position, time = events["_event"]["f1"].cast("int64"), times.of_timestamp(values["event_time"])
    database.append(EVENTS, events.select("_row", _position=position, _time=time, **values))
