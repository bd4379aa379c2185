"""Does any training row come later than the evaluation rows that follow it?"""

from __future__ import annotations

from typing import Any

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import DAY, Expression, column
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import Recipe

RULES = {
    "days": "No training session begins at or after the first session that is evaluated on the following {unit}.",
    "time": "No event that is trained on happens at or after the first target.",
    "leave_one_out": "No event that is trained on happens after the held-out items of the same sequence.",
    "given": "No event that is trained on happens after the targets of the same sequence.",
}
NOTES = {
    "days": "Events of sessions that go on past the end of the {unit}: trained on it, though the next had begun.",
    "time": "",
    "leave_one_out": "Events trained on that are later than the first target of any user: this protocol looks ahead.",
    "given": "Events trained on that are later than the first target: the published split decides.",
}


def check(database: Database, train: ir.Table, evaluated: ir.Table, recipe: Recipe) -> dict[str, Any]:
    """Compare rows (see `day_files.read`) of training files with those that are evaluated after them.

    `rows_later` breaks the rule; `events_later` are counted to be known. Without times, nothing can be compared.
    """
    found: dict[str, Any] = {
        name: texts[recipe.split].format(unit=recipe.time_unit) for name, texts in (("rule", RULES), ("note", NOTES))
    }
    if not recipe.time_column:
        return found | {"is_ok": None, "pairs": []}
    pairs = _day_pairs(database, train, evaluated, recipe) if not recipe.is_split else []
    if recipe.is_split:
        pairs = _split_pair(database, train, evaluated, recipe)
    return found | {"is_ok": not any(pair["rows_later"] for pair in pairs), "pairs": pairs}


def _day_pairs(database: Database, train: ir.Table, evaluated: ir.Table, recipe: Recipe) -> list[dict[str, Any]]:
    first = evaluated.group_by(_first_day=DAY).agg(_from=ibis._["session_start"].min())
    before = ibis.window(order_by=DAY)
    next_day = train.select(DAY).distinct().mutate(_next=ibis._[DAY].lead().over(before))
    joined = train.join(next_day, DAY).select(train, "_next").filter(ibis._["_next"].notnull())
    joined = joined.join(first, column(joined, "_next") == first["_first_day"])
    return _compared(database, joined, column(joined, "session_start") >= joined["_from"], recipe)


def _split_pair(database: Database, train: ir.Table, evaluated: ir.Table, recipe: Recipe) -> list[dict[str, Any]]:
    targets = evaluated.select("session_id", _target=column(evaluated, "event_time")[-1])
    first = targets.agg(_from=targets["_target"].min())
    rows = train.cross_join(first)
    own = targets.group_by(_own="session_id").agg(_own_target=targets["_target"].min())
    day_of_file = ibis.literal(times.NO_TIME // times.MILLISECONDS["day"], type="int64")
    rows = rows.left_join(own, column(rows, "session_id") == own["_own"]).mutate(**{DAY: day_of_file})
    last = column(rows, "event_time")[-1]
    is_later = last >= rows["_from"] if recipe.split == "time" else (last > rows["_own_target"]).fill_null(False)
    return _compared(database, rows, is_later, recipe)


def _compared(database: Database, rows: ir.Table, is_later: Expression, recipe: Recipe) -> list[dict[str, Any]]:
    """Count the later rows by `_day`; `_from` is the time of the first row, or target, that is evaluated."""
    rows = rows.mutate(
        _is_later=is_later, _events_later=column(rows, "event_time").filter(lambda t: t >= rows["_from"]).length()
    )
    counts = rows.group_by(DAY).agg(
        rows=ibis._.count(),
        rows_later=ibis._["_is_later"].sum(),
        events_later=ibis._["_events_later"].sum(),
        trained_until=ibis._["event_time"][-1].max(),
        evaluated_from=ibis._["_from"].min(),
    )
    return [
        {"trained_on": times.label(row.pop(DAY), recipe.time_unit)}
        | {name: value if type(value) is int else str(value) for name, value in row.items()}
        for row in database.rows(counts.order_by(DAY))
    ]
