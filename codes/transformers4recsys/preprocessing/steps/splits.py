"""One pair of training and evaluation files: which events are trained on, and which are targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import ibis
from ibis.expr import types as ir

from transformers4recsys.day_format import SPLITS, TEST, TRAIN, VALID
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe

TRAIN_DAY = times.NO_TIME // times.MILLISECONDS["day"]
# The main job trains on one day's file and evaluates on the next day's.
DAYS = {TRAIN: TRAIN_DAY, VALID: TRAIN_DAY + 1, TEST: TRAIN_DAY + 1}
LEAST_TO_HOLD_OUT = 3
KNOWN_SHARES = (0.8, 0.9)


@dataclass(frozen=True)
class Cuts:
    """Milliseconds from which events are validated on, and tested on; they count for `time` alone."""

    valid_from: int = 0
    test_from: int = 0


def cuts_of(database: Database, events: ir.Table, recipe: Recipe) -> Cuts:
    """Find where `time` cuts: at the days given, else at those before which 80 and 90 % of all events lie."""
    if recipe.split != "time":
        return Cuts()
    if recipe.valid_from and recipe.test_from:
        flags = (("--valid_from", recipe.valid_from), ("--test_from", recipe.test_from))
        days = [times.day_number(text, "day", flag=flag) for flag, text in flags]
    else:
        by_day = events.group_by(day=times.day_of(events["_time"], "day")).agg(count=ibis._.count())
        days = days_of_cuts({row["day"]: row["count"] for row in database.rows(by_day)})
    if days[0] >= days[1]:
        raise InputError(
            f"--split time: validation would begin on {times.label(days[0], 'day')} and the test on "
            f"{times.label(days[1], 'day')}; give --valid_from and a later --test_from"
        )
    return Cuts(*(day * times.MILLISECONDS["day"] for day in days))


def days_of_cuts(counts: Mapping[int, int]) -> list[int]:
    """Choose the first days before which 80 and 90 % of all events lie, but leave a day for each part."""
    days = sorted(counts)
    if len(days) < len(SPLITS):
        raise InputError(f"--split time: the log has events of {len(days)} day(s), it takes three")
    before = dict(zip(days, accumulate((counts[day] for day in days[:-1]), initial=0), strict=True))
    total = sum(counts.values())
    reached = [[day for day in days if before[day] >= share * total] for share in KNOWN_SHARES]
    test_from = max(days[2], min([*reached[1], days[-1]]))
    valid_from = min([*reached[0], max(day for day in days if day < test_from)])
    return [max(days[1], valid_from), test_from]


def with_valid_part(database: Database, events: ir.Table) -> ir.Table:
    """Where no event is published as `valid`, call every 16th training sequence so, by the MD5 of its key."""
    if database.rows(events.agg(valid=(events["_part"] == VALID).sum()))[0]["valid"]:
        return events
    is_chosen = (events["_part"] == TRAIN) & (events["_key"].hexdigest("md5").substr(0, 1) == "0")
    return events.mutate(_part=is_chosen.ifelse(VALID, events["_part"]))


def in_core(database: Database, events: ir.Table, least: int) -> ir.Table:
    """Leave out users (or sessions) and items of fewer events than `least`, again and again until none is left."""
    user = "_user" if "_user" in events.columns else "_key"
    number = _count(database, events)
    for turn in range(number):
        counts = {
            name: events.count().over(ibis.window(group_by=column)) for name, column in (("_us", user), ("_it", ITEM))
        }
        counted = events.mutate(**counts)
        counted = counted.filter((counted["_us"] >= least) & (counted["_it"] >= least)).drop("_us", "_it")
        events = database.keep(f"core {turn % 2}", counted)
        before, number = number, _count(database, events)
        if number == before:
            break
    if not number:
        raise InputError(f"--k_core {least}: no event is left of users and items that have so many; give less")
    return events


def _count(database: Database, table: ir.Table) -> int:
    return database.rows(table.agg(count=table.count()))[0]["count"]


def _leave_one_out(events: ir.Table, cuts: Cuts) -> ir.IntegerValue:
    return ((events["_length"] < LEAST_TO_HOLD_OUT) | (events["_from_end"] > 1)).ifelse(0, 2 - events["_from_end"])


def _time(events: ir.Table, cuts: Cuts) -> ir.IntegerValue:
    return (events["_time"] >= cuts.valid_from).cast("int64") + (events["_time"] >= cuts.test_from).cast("int64")


def _given(events: ir.Table, cuts: Cuts) -> ir.IntegerValue:
    return (events["_part"] == TRAIN).ifelse(0, (events["_part"] == VALID).ifelse(1, 2))


STAGES: dict[str, Callable[[ir.Table, Cuts], ir.IntegerValue]] = {
    "leave_one_out": _leave_one_out,
    "time": _time,
    "given": _given,
}


def with_stage(events: ir.Table, recipe: Recipe, cuts: Cuts) -> ir.Table:
    """Add `_stage` to events of `sessions.kept`: 0 is trained on, 1 is a target of validation, 2 one of the test."""
    return events.mutate(_stage=STAGES[recipe.split](events, cuts).cast("int64"))


def trained_on(events: ir.Table, column: str) -> ir.Table:
    """Keep the values of `column` in events of stage 0 only; null in all others."""
    return events.mutate(**{column: (events["_stage"] == 0).ifelse(events[column], ibis.null(events[column].type()))})


def num_cut(database: Database, rows: ir.Table, length: int) -> int:
    """Count the events that none of `parts` holds: those before the last `length` to train on."""
    cut = ibis.greatest(rows["_valid_from"] - length, 0).sum()
    return int(database.rows(rows.agg(cut=cut))[0]["cut"] or 0)


def parts(rows: ir.Table, columns: Sequence[str], length: int) -> dict[str, ir.Table]:
    """Cut the lists in `columns` of rows for each file, at most `length` events each, the last ones.

    A training row has a sequence's events of stage 0, two or more. A row of `valid` and `test` ends with a
    target of that stage, and holds what came before it, so that a sequence has as many rows as targets.
    """
    first, second, end = rows["_valid_from"], rows["_test_from"], rows["_length"]
    train = rows.filter(first >= 2).mutate(_target=ibis.literal(0, type="int64"))
    cut = {TRAIN: train.mutate(**_last(train, columns, train["_valid_from"], length))}
    for split, start, stop in ((VALID, first, second), (TEST, second, end)):
        targets = ibis.range(ibis.greatest(start, 1).cast("int64"), stop.cast("int64"))
        each = rows.mutate(_target=targets.unnest())
        cut[split] = each.mutate(**_last(each, columns, each["_target"] + 1, length))
    assert tuple(cut) == SPLITS
    return cut


def _last(rows: ir.Table, columns: Sequence[str], end: ir.IntegerValue, length: int) -> dict[str, ir.Value]:
    return {name: rows[name][ibis.greatest(end - length, 0) : end] for name in columns}
