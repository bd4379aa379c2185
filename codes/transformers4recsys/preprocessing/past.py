"""What a session's user did before it: the last n events of the sessions that started earlier."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import clock, sessions
from transformers4recsys.preprocessing.engine import Engine
from transformers4recsys.preprocessing.events import check_type
from transformers4recsys.preprocessing.recipe import Recipe

PREFIX = "bef_"
KNOWN = "sessions of users"


def with_past(database: Engine, rows: ir.Table, recipe: Recipe) -> ir.Table:
    """Add `_past` to rows of `day_files.as_rows`; bundles of days come one after the other, each known to the next."""
    numbers = database.keep("numbers", numbered(rows, database.find(KNOWN)))
    known = database.append(KNOWN, _listed(rows, numbers))
    past = past_of(numbers, known, length=recipe.past_length_max, longest=recipe.session_length_max)
    nothing = ibis.literal([], type=past["_past"].type())
    columns = [rows[name] for name in rows.columns]
    return rows.join(past, "_row", how="left").select(*columns, _past=past["_past"].fill_null(nothing))


def remember(database: Engine, rows: ir.Table) -> None:
    """Make the sessions of earlier calls known (see `history`)."""
    rows = database.keep("history", rows)
    database.append(KNOWN, _listed(rows, numbered(rows, None)))


def numbered(rows: ir.Table, known: ir.Table | None) -> ir.Table:
    """Number each session's first event, `_first`, counting the events of its user, session after session.

    Sessions that are `known` started before all of `rows`. A session without a user is left out.
    """
    rows = rows.select("_row", "_user", "_start", "_length").filter(ibis._["_user"].notnull())
    so_far = ibis.window(group_by="_user", order_by="_row", rows=(None, 0))
    first = (rows["_length"].sum().over(so_far) - rows["_length"]).cast("int32")
    rows = rows.mutate(_first=first)
    if known is None:
        return rows
    totals = known.group_by(_known_user=known["_user"]).agg(_total=known["_length"].sum().cast("int32"))
    joined = rows.join(totals, rows["_user"] == totals["_known_user"], how="left")
    first = joined["_first"] + joined["_total"].fill_null(0)
    return joined.select("_row", "_user", "_start", "_length", _first=first)


def past_of(numbers: ir.Table, known: ir.Table, *, length: int, longest: int) -> ir.Table:
    """Find `_past`, the last `length` events before each session's start, oldest first, by `_row`.

    `numbers` comes from `numbered`; `known` has _user, _first, _length and _events of these sessions and
    all earlier ones, none with more than `longest` events. A session without a past has no row. What
    happened at or after the start is left out: the session itself, later ones, and the rest of those that overlap.
    """
    # Sessions that start together know nothing of one another.
    before = numbers["_first"].min().over(ibis.window(group_by=["_user", "_start"]))
    now = numbers.select("_row", "_user", "_start", _before=before).filter(ibis._["_before"] > 0)
    # The sessions wanted begin at most this many events back, so in this block of events or the one before.
    width = length + longest
    now = now.mutate(_block=(now["_before"] - 1) // width)
    now = now.union(now.mutate(_block=now["_block"] - 1))
    then = known.select(
        _then="_user", _of_block=known["_first"] // width, _first="_first", _length="_length", _events="_events"
    )
    is_wanted = [
        now["_user"] == then["_then"],
        now["_block"] == then["_of_block"],
        then["_first"] < now["_before"],
        then["_first"] + then["_length"] > now["_before"] - length,
    ]
    pairs = now.join(then, is_wanted)
    one = ibis.struct({"_first": pairs["_first"], "_events": pairs["_events"]})
    found = pairs.group_by("_row", "_start").agg(_sessions=one.collect().sort())
    found = found.mutate(_past=found["_sessions"].map(lambda session: session["_events"]).flatten())
    found = found.mutate(_past=found["_past"].filter(lambda event: event["_time"] < found["_start"]))
    return found.select("_row", _past=found["_past"][ibis.greatest(found["_past"].length() - length, 0) :])


def history(
    database: Engine, files: Sequence[str], users: ir.Table, columns: Sequence[str], recipe: Recipe
) -> ir.Table:
    """Read the sessions of `users` (column _user) back from the day files of earlier calls, as rows."""
    table = database.read("parquet", files)
    names = {name: recipe.output_name(name) for name in (*columns, "session_start", "session_id", "user_id")}
    table = table.select(**{name: table[output] for name, output in names.items()})
    table = table.mutate(_user=table["user_id"], _start=clock.of_timestamp(table["session_start"]))
    check_type("user_id", users["_user"], table["_user"], files[0])
    table = table.semi_join(users, "_user")
    table = table.mutate(_day=clock.day_of(table["_start"], recipe.time_unit))
    number = ibis.row_number().over(group_by=table["_day"], order_by=[table["_start"], table["session_id"]])
    zipped = ibis.range(0, table["event_time"].length()).zip(*(table[name] for name in columns))
    place = {name: f"f{i}" for i, name in enumerate(columns, start=2)}
    events = zipped.map(
        lambda event: ibis.struct(
            {"_position": event["f1"], "_time": clock.of_timestamp(event[place["event_time"]])}
            | {name: event[field] for name, field in place.items()}
        )
    )
    rows = table.mutate(_row=sessions.first_row(table["_day"]) + number, _events=events)
    return rows.select("_row", "_user", "_start", _length=rows["_events"].length(), _events="_events")


def _listed(rows: ir.Table, numbers: ir.Table) -> ir.Table:
    joined = numbers.join(rows.select("_row", "_events"), "_row")
    return joined.select("_user", "_first", "_length", "_events")
