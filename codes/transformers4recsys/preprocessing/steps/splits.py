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
from transformers4recsys.preprocessing.columns import (
    FROM_END,
    KEY,
    LENGTH,
    PART,
    STAGE,
    TARGET,
    TEST_FROM,
    TIME,
    USER,
    VALID_FROM,
    Column,
    Expression,
    column,
    step,
)
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.tables import Kept

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
        by_day = events.group_by(day=times.day_of(TIME.of(events), "day")).agg(count=ibis._.count())
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
        raise InputError(
            f"--split time: the log has events of {len(days)} {'day' if len(days) == 1 else 'days'}; three are needed"
        )
    before = dict(zip(days, accumulate((counts[day] for day in days[:-1]), initial=0), strict=True))
    total = sum(counts.values())
    reached = [[day for day in days if before[day] >= share * total] for share in KNOWN_SHARES]
    test_from = max(days[2], min([*reached[1], days[-1]]))
    valid_from = min([*reached[0], max(day for day in days if day < test_from)])
    return [max(days[1], valid_from), test_from]


@step(needs=(PART, KEY))
def with_valid_part(events: ir.Table, database: Database) -> ir.Table:
    """Where no event is published as `valid`, call every 16th training sequence so, by the MD5 of its key."""
    if database.rows(events.agg(valid=(PART.of(events) == VALID).sum()))[0]["valid"]:
        return events
    is_chosen = (PART.of(events) == TRAIN) & (KEY.of(events).hexdigest("md5").substr(0, 1) == "0")
    return events.mutate(**{PART: is_chosen.ifelse(VALID, PART.of(events))})


@step(needs=(KEY, ITEM))
def in_core(events: ir.Table, database: Database, least: int) -> ir.Table:
    """Leave out users (or sessions) and items of fewer events than `least`, again and again until none is left."""
    user = USER if USER in events.columns else KEY
    number = _count(database, events)
    for turn in range(number):
        of_user, of_item = (events.count().over(ibis.window(group_by=name)) for name in (user, ITEM))
        counted = events.mutate(_of_user=of_user, _of_item=of_item)
        is_kept = (column(counted, "_of_user") >= least) & (column(counted, "_of_item") >= least)
        events = database.keep(Kept.CORE.of(turn % 2), counted.filter(is_kept).drop("_of_user", "_of_item"))
        before, number = number, _count(database, events)
        if number == before:
            break
    if not number:
        raise InputError(f"--k_core {least}: no user and item has that many events; give a smaller number")
    return events


def _count(database: Database, table: ir.Table) -> int:
    return database.rows(table.agg(count=table.count()))[0]["count"]


@dataclass(frozen=True)
class StageRule:
    """Which stage an event is of, and the columns that say so."""

    stage: Callable[[ir.Table, Cuts], Expression]
    needs: tuple[Column, ...]


def _leave_one_out(events: ir.Table, cuts: Cuts) -> Expression:
    from_end = FROM_END.of(events)
    return ((LENGTH.of(events) < LEAST_TO_HOLD_OUT) | (from_end > 1)).ifelse(0, 2 - from_end)


def _time(events: ir.Table, cuts: Cuts) -> Expression:
    return (TIME.of(events) >= cuts.valid_from).cast("int64") + (TIME.of(events) >= cuts.test_from).cast("int64")


def _given(events: ir.Table, cuts: Cuts) -> Expression:
    return (PART.of(events) == TRAIN).ifelse(0, (PART.of(events) == VALID).ifelse(1, 2))


STAGES = {
    "leave_one_out": StageRule(_leave_one_out, (LENGTH, FROM_END)),
    "time": StageRule(_time, (TIME,)),
    "given": StageRule(_given, (PART,)),
}


@step(gives=(STAGE,))
def with_stage(events: ir.Table, recipe: Recipe, cuts: Cuts) -> ir.Table:
    """Add `_stage` to events of `sessions.kept`: 0 is trained on, 1 is a target of validation, 2 one of the test."""
    return events.mutate(**{STAGE: STAGES[recipe.split].stage(events, cuts).cast("int64")})


def trained_on(events: ir.Table, name: str) -> ir.Table:
    """Keep the values of a column in events of stage 0 only; null in all others."""
    values = column(events, name)
    return events.mutate(**{name: (STAGE.of(events) == 0).ifelse(values, ibis.null(values.type()))})


def num_cut(database: Database, rows: ir.Table, recipe: Recipe) -> int:
    """Count the events that none of `parts` holds: those before the last ones to train on."""
    if recipe.train_length_max:
        return 0
    cut: Expression = ibis.greatest(VALID_FROM.of(rows) - recipe.session_length_max, 0)
    return int(database.rows(rows.agg(cut=cut.sum()))[0]["cut"] or 0)


def parts(rows: ir.Table, columns: Sequence[str], recipe: Recipe) -> dict[str, ir.Table]:
    """Cut the lists in `columns` of rows for each file, at most `session_length_max` events each, the last ones.

    A training row has a sequence's events of stage 0, two or more; with `train_length_max` those before its first one
    make another row, and so on. A row of `valid` and `test` ends with a target of that stage, and holds what came
    before it, so that a sequence has as many rows as targets.
    """
    length = recipe.session_length_max
    first, second, end = VALID_FROM.of(rows), TEST_FROM.of(rows), LENGTH.of(rows)
    train = rows.filter(first >= 2).mutate(**{TARGET: ibis.literal(0, type="int64")})
    cut = {TRAIN: train.mutate(**_last(train, columns, VALID_FROM.of(train), length))}
    if recipe.train_length_max:
        cut[TRAIN] = _windows(train, columns, recipe.train_length_max)
    for split, start, stop in ((VALID, first, second), (TEST, second, end)):
        targets = ibis.range(ibis.greatest(start, 1).cast("int64"), stop.cast("int64"))
        each = rows.mutate(**{TARGET: targets.unnest()})
        cut[split] = each.mutate(**_last(each, columns, TARGET.of(each) + 1, length))
    assert tuple(cut) == SPLITS
    return cut


def _windows(train: ir.Table, columns: Sequence[str], length: int) -> ir.Table:
    """Make as many rows of each sequence as teach all its events but the first one, each of them once.

    The first event of a row is the last one of the row before, where it is what is to be predicted.
    """
    num_rows = (VALID_FROM.of(train) - 2) // (length - 1) + 1
    each = train.mutate(**{TARGET: ibis.range(num_rows.cast("int64")).unnest()})
    return each.mutate(**_last(each, columns, VALID_FROM.of(each) - TARGET.of(each) * (length - 1), length))


def _last(rows: ir.Table, columns: Sequence[str], end: Expression, length: int) -> dict[str, Expression]:
    return {name: column(rows, name)[ibis.greatest(end - length, 0) : end] for name in columns}
