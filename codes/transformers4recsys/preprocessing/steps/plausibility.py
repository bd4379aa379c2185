"""What would spoil days without a word, found before they are made: shared or endless sessions, and times far off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import Recipe

DAY = times.MILLISECONDS["day"]
# Logs have a few odd sessions; from this share on, the ids mean something else than a session.
SHARE_MAX = 0.01
# Local times without a zone are ahead of UTC by less.
AHEAD_MAX = timedelta(days=1)
# Days apart from all others by more, with few events, come of a clock that was wrong.
DAYS_APART = 30
FEW_EVENTS, FEW_A_DAY = 0.1, 0.5


def now() -> datetime:
    return datetime.now(UTC)


def check(database: Database, events: ir.Table, recipe: Recipe, written: Mapping[str, int]) -> dict[str, Any]:
    """Count what is odd among the events to keep; raise InputError where it would spoil days and is not allowed.

    `written` has the events of the days of earlier calls.
    """
    found: dict[str, Any] = {}
    if recipe.session_column:
        found |= _check_sessions(database, events, recipe)
    if recipe.time_column:
        found |= _check_times(database, events, recipe, written)
    return found


def _check_sessions(database: Database, events: ir.Table, recipe: Recipe) -> dict[str, int]:
    has_user = "_user" in events.columns
    is_whole = recipe.gap_minutes is None and not recipe.is_split
    users = (events["_user"].max() != events["_user"].min()) if has_user else ibis.literal(False)
    sessions = events.group_by("_key").agg(shared=users, length=events["_time"].max() - events["_time"].min())
    counts = sessions.agg(
        sessions=sessions.count(),
        sessions_with_several_users=sessions["shared"].fill_null(False).sum(),
        sessions_longer_than_a_day=((sessions["length"] > DAY) & is_whole).sum(),
    )
    found = {name: int(value or 0) for name, value in database.rows(counts)[0].items()}
    num_sessions = found["sessions"]
    shared, long = found["sessions_with_several_users"], found["sessions_longer_than_a_day"]
    if shared >= SHARE_MAX * num_sessions and shared and not recipe.allow_shared_sessions:
        raise InputError(
            f"{shared:,} of {num_sessions:,} values of `session_column` {recipe.session_column} have events of several "
            f"users (`user_column` {recipe.user_column}): they would become one session. If ids are unique only within "
            "a user, make one column of both in the log, or leave `session_column` out, so that a user's pauses end "
            "sessions; if such sessions are meant, give `allow_shared_sessions`"
        )
    if long >= SHARE_MAX * num_sessions and long and not recipe.allow_long_sessions:
        raise InputError(
            f"{long:,} of {num_sessions:,} sessions (`session_column` {recipe.session_column}) last longer than a "
            "day, and all their events would stand in the file of their first day. If session numbers begin anew "
            "each day, or name a visitor, give `session_gap_minutes`, such as 30, so that a pause ends a session; if "
            "such sessions are meant, give `allow_long_sessions`"
        )
    return found


def _check_times(database: Database, events: ir.Table, recipe: Recipe, written: Mapping[str, int]) -> dict[str, Any]:
    latest = round((now() + AHEAD_MAX).timestamp() * 1000)
    by_day = events.group_by(day=times.day_of(events["_time"], "day")).agg(
        events=ibis._.count(),
        later=(events["_time"] > latest).sum(),
        first=events["_time"].min(),
        last=events["_time"].max(),
    )
    days = database.rows(by_day)
    later = sum(row["later"] for row in days)
    first, last = (_text(choose(row[name] for row in days)) for choose, name in ((min, "first"), (max, "last")))
    if later and not recipe.allow_outlying_times:
        raise InputError(
            f"{later:,} events are later than now, up to {last} (`time_column` {recipe.time_column}): with their days "
            "written, every real day to come would count as already written. Leave them out by `end_date`, mend their "
            "times, or give `allow_outlying_times`"
        )
    counts = {row["day"]: row["events"] for row in days}
    for label, number in written.items():
        day = times.day_number(label[:10], "day", flag="a day written")
        counts[day] = counts.get(day, 0) + number
    far = [] if recipe.is_split else outlying(counts)
    new = [day for day in far if any(row["day"] == day for row in days)]
    if new and not recipe.allow_outlying_times:
        names = ", ".join(times.label(day, "day") for day in new[:3]) + (" ..." if len(new) > 3 else "")
        raise InputError(
            f"{sum(counts[day] for day in new):,} events lie far from all others ({names}; `time_column` "
            f"{recipe.time_column}): a wrong clock would make a day of its own, and days before it would count as "
            "already written. Leave them out by `start_date` and `end_date`, mend their times, or give "
            "`allow_outlying_times`"
        )
    return {"first_time": first, "last_time": last, "events_later_than_now": later, "days_far_from_others": len(new)}


def outlying(events_of_day: Mapping[int, int]) -> list[int]:
    """List the days that lie apart from those with most events, and have few, in all and a day."""
    blocks: list[list[int]] = []
    for day in sorted(events_of_day):
        if not blocks or day - blocks[-1][-1] > DAYS_APART:
            blocks.append([])
        blocks[-1].append(day)
    main = max(blocks, key=lambda block: _total(block, events_of_day))
    most = _total(main, events_of_day)
    return [
        day
        for block in blocks
        if block is not main
        and _total(block, events_of_day) < FEW_EVENTS * most
        and _total(block, events_of_day) / len(block) < FEW_A_DAY * most / len(main)
        for day in block
    ]


def check_empty(sessions_of_day: Mapping[str, int], recipe: Recipe, dropped: str) -> None:
    """Raise InputError if days would be written without a session; `dropped` says why events are left out."""
    empty = [day for day, sessions in sessions_of_day.items() if not sessions]
    if not empty or recipe.is_split:
        return
    if len(empty) == len(sessions_of_day):
        raise InputError(f"no {recipe.time_unit} has a session of two events or more: {dropped}")
    if not recipe.allow_empty_days:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise InputError(
            f"the files of {', '.join(empty[:5])}{more} would be empty: no session that begins there has two events or "
            "more. Leave them out by `start_date` and `end_date`, or give `allow_empty_days`"
        )


def _total(block: Iterable[int], events_of_day: Mapping[int, int]) -> int:
    return sum(events_of_day[day] for day in block)


def _text(milliseconds: int) -> str:
    return str(datetime.fromtimestamp(milliseconds // 1000, UTC).replace(tzinfo=None))
