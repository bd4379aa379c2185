"""What one pass over the raw rows finds: counts by reason and file, and values that cannot be read."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
from ibis.expr import types as ir

from transformers4recsys.day_format import SPLITS
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import text_files, times
from transformers4recsys.preprocessing.dialect import FILE
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.raw_log import RawLog
from transformers4recsys.preprocessing.recipe import PRICE, Recipe
from transformers4recsys.preprocessing.steps import events
from transformers4recsys.preprocessing.steps.events import REASONS

console = logging.getLogger(__name__)

YEAR_MILLISECONDS = 365.2425 * times.MILLISECONDS["day"]
WHOLE, WRITTEN_AS_FLOAT = r"^[+-]?\d+$", r"^[+-]?\d+(\.0*|(\.\d+)?[eE]\+?\d+)$"
Choose = Callable[[ir.Table], tuple[ir.BooleanValue, ir.Value]]


@dataclass(frozen=True)
class Audit:
    """What one pass over the raw rows found; `dropped` has a count a reason, `kept` is the rest."""

    read: int
    kept: int
    dropped: Mapping[str, int]
    has_time_of_day: bool
    without_price: int
    last_time: int


@dataclass(frozen=True)
class Check:
    """A condition on raw rows that must hold nowhere, and what is said of the first value where it does."""

    name: str
    choose: Choose
    explain: Callable[[str], str]


def checks_of(raw: ir.Table, recipe: Recipe, parse_time: times.ParseTime | None) -> list[Check]:
    """List what is checked of each value: that times and numbers can be read, and that splits are known."""
    checks = []
    if recipe.time_column:
        is_text = raw[recipe.time_column].type().is_string()
        checks.append(
            Check(
                recipe.time_column,
                lambda table: _unread(
                    events.known(table, recipe.time_column or "", recipe), events.time_of(table, recipe, parse_time)
                ),
                lambda value: f"{value!r}, which is not a time; {_cure_of_time(value, is_text=is_text)}",
            )
        )
    columns = [*events.numbers(recipe).values(), *([recipe.order_column] if recipe.order_column else [])]
    for column in dict.fromkeys(columns):
        if raw[column].type().is_string():
            checks.append(Check(column, _number_check(column, recipe), lambda value: _not_a_number(value, recipe)))
    if recipe.split_column:
        checks.append(
            Check(
                recipe.split_column,
                lambda table: (
                    ~events.known(table, recipe.split_column or "", recipe).cast("string").isin(SPLITS),
                    table[recipe.split_column],
                ),
                lambda value: f"{value!r}, which is not a split; allowed are {', '.join(SPLITS)}",
            )
        )
    return checks


def audit(
    database: Database, log: RawLog, raw: ir.Table, recipe: Recipe, mark: Callable[[ir.Table], ir.Table]
) -> Audit:
    """Count the rows by reason; raise InputError on values that cannot be read and on an empty result.

    `raw` are the rows of `log`; `mark` adds the reason to their standard columns, see `events.with_reason`.
    """
    checks = checks_of(raw, recipe, database.parse_time)
    flags = _flags(raw, recipe, checks)
    marked = mark(events.standard_columns(raw, recipe, parse_time=database.parse_time, more=flags))
    groups = database.rows(_counts(marked, recipe, [name for name in flags if name != FILE]))
    groups.sort(key=lambda group: group[FILE])
    for number, check in enumerate(checks):
        _refuse_first(database, log, groups, f"_bad_{number}", check)
    for number, column in enumerate(events.ids(recipe)):
        if any(group[f"_float_{number}"] for group in groups):
            _refuse_floats(database, log, groups, f"_float_{number}", column)
    _check_files(log, recipe, groups)
    return _summary(log, recipe, groups)


def _flags(raw: ir.Table, recipe: Recipe, checks: list[Check]) -> dict[str, ir.Value]:
    """Give what has to be known of each row: its file, what is wrong with it, and which columns have a value."""
    bad = {f"_bad_{number}": check.choose(raw)[0] for number, check in enumerate(checks)}
    floats = {f"_float_{number}": _may_be_float(raw[column]) for number, column in enumerate(events.ids(recipe))}
    there = {
        f"_there_{number}": events.known(raw, column, recipe).notnull()
        for number, (_, column) in enumerate(recipe.raw_columns)
    }
    return {FILE: raw[FILE]} | {name: value.fill_null(False) for name, value in (bad | floats | there).items()}


def _counts(marked: ir.Table, recipe: Recipe, flags: list[str]) -> ir.Table:
    is_midnight = marked["_time"] % times.MILLISECONDS["day"] == 0
    return marked.group_by(FILE, "_reason").agg(
        rows=ibis._.count(),
        first=marked["_time"].min(),
        last=marked["_time"].max(),
        timed=(~is_midnight).sum(),
        without_price=marked[PRICE].isnull().sum() if recipe.price_column else ibis.literal(0),
        **{name: marked[name].sum() for name in flags},
    )


def _summary(log: RawLog, recipe: Recipe, groups: list[dict[str, Any]]) -> Audit:
    by_reason: Counter[str | None] = Counter()
    for group in groups:
        by_reason[group["_reason"]] += group["rows"]
    read, num_kept = by_reason.total() + log.num_broken, by_reason.pop(None, 0)
    dropped = {"broken_line": log.num_broken} if log.num_broken else {}
    dropped |= {reason: by_reason[reason] for reason in REASONS if reason in by_reason}
    kept = [group for group in groups if group["_reason"] is None]
    if not kept:
        if "already_written" in dropped:
            return Audit(read, 0, dropped, False, 0, 0)
        causes = ", ".join(f"{reason} {count}" for reason, count in dropped.items()) or "there are no rows"
        raise InputError(f"`input` has no event that can be used ({read} rows read): {causes}")
    first, last = min(group["first"] for group in kept), max(group["last"] for group in kept)
    _check_years(first, last, recipe)
    without_price, timed = (sum(group[name] or 0 for group in kept) for name in ("without_price", "timed"))
    return Audit(read, num_kept, dropped, bool(timed), without_price, last)


def _refuse_first(database: Database, log: RawLog, groups: list[dict[str, Any]], flag: str, check: Check) -> None:
    """Raise InputError that names the first row of the first file where a condition holds, if it does anywhere."""
    bad = [group for group in groups if group[flag]]
    if not bad:
        return
    file = log.by_path[bad[0][FILE]]
    row, value = log.first_row(database, file, check.choose)
    num_bad = sum(group[flag] for group in bad)
    more = f" ({num_bad} such rows in all)" if num_bad > 1 else ""
    raise InputError(f"{file.name}, row {row}: column {check.name} holds {check.explain(value)}{more}")


def _refuse_floats(database: Database, log: RawLog, groups: list[dict[str, Any]], flag: str, column: str) -> None:
    """Raise InputError if ids in text are whole numbers that were floats: 12.0 here is 12 elsewhere."""
    table = log.table(database)
    values = events.known(table, column, log.recipe)
    is_float = values.re_search(WRITTEN_AS_FLOAT)
    found = database.rows(table.agg(others=(~is_float & ~values.re_search(WHOLE)).sum(), floats=is_float.sum()))[0]
    if found["others"] or not found["floats"]:
        return

    def choose(table: ir.Table) -> tuple[ir.BooleanValue, ir.Value]:
        return events.known(table, column, log.recipe).re_search(WRITTEN_AS_FLOAT), table[column]

    check = Check(
        column,
        choose,
        lambda value: (
            f"{value!r}, a whole number written as a float, and an id is text or a whole number; write whole numbers "
            "(in pandas, .astype('Int64') keeps gaps)"
        ),
    )
    _refuse_first(database, log, [group for group in groups if group[flag]], flag, check)


def _check_files(log: RawLog, recipe: Recipe, groups: list[dict[str, Any]]) -> None:
    """Raise InputError if a file lacks a column, which JSON lines show in no header, or each value of a needed one."""
    rows: Counter[str] = Counter()
    there: dict[int, Counter[str]] = {number: Counter() for number in range(len(recipe.raw_columns))}
    for group in groups:
        rows[group[FILE]] += group["rows"]
        for number, counts in there.items():
            counts[group[FILE]] += group[f"_there_{number}"] or 0
    needed = {recipe.item_column, recipe.time_column, recipe.session_column or recipe.user_column}
    for number, (setting, column) in enumerate(recipe.raw_columns):
        lack = [log.by_path[path] for path, count in rows.items() if count and not there[number][path]]
        if lack and log.kind == "json" and len(lack) == sum(count > 0 for count in rows.values()):
            raise InputError(
                f"`input` has no such column: `{setting}` {column} is in no line of {lack[0].name}, whose first line "
                f"has {', '.join(text_files.keys_of(lack[0].path))}; nested values have to be made columns of their own"
            )
        if lack and column in needed and len(lack) < len(rows):
            text = (
                f"{lack[0].name}: not one of its {rows[lack[0].path]} rows has a value in column {column} "
                f"(`{setting}`), but other files have; mend the column, or choose the files to read by `files`"
            )
            if log.kind == "json":
                # It shows in no header that the column has another name there.
                raise InputError(text)
            console.warning(text)


def _check_years(first: int, last: int, recipe: Recipe) -> None:
    years = [1970 + round(time / YEAR_MILLISECONDS) for time in (first, last)]
    if years[0] < 1980 or years[1] > 2200:
        raise InputError(
            f"`time_column` {recipe.time_column}: times reach from the year {years[0]} to {years[1]}; check "
            f"`epoch_unit` ({recipe.epoch_unit or 's'}), or leave wrong rows out by `start_date` and `end_date`"
        )


def _number_check(column: str, recipe: Recipe) -> Choose:
    def choose(table: ir.Table) -> tuple[ir.BooleanValue, ir.Value]:
        values = events.known(table, column, recipe)
        # Not a number and infinity are missing, as they are in parquet.
        is_number = events.text_as_number(values, recipe).notnull()
        return values.notnull() & ~is_number, table[column]

    return choose


def _not_a_number(value: str, recipe: Recipe) -> str:
    comma = value.replace(",", "", 1).replace("-", "", 1).strip().isdigit() and "," in value
    if comma and recipe.decimal == ".":
        return f"{value!r}, which is not a number; if its comma is the decimal sign, give `decimal` ,"
    if recipe.decimal == "," and "." in value:
        return f"{value!r}, which is not a number with a decimal comma; leave the points out, or `decimal` ,"
    return (
        f"{value!r}, which is not a number; write digits alone, without a currency or signs between thousands, or name "
        "it among `missing_values` if it stands for none"
    )


def _cure_of_time(value: str, *, is_text: bool) -> str:
    if not is_text:
        return "check `epoch_unit`"
    if value.lstrip("-").isdigit():
        return "if it counts from 1970, give `epoch_unit`, else its `time_format`"
    return "write times alike, or give their `time_format` or `epoch_unit`"


def _unread(values: ir.Column, parsed: ir.Value) -> tuple[ir.BooleanValue, ir.Value]:
    is_there = values.notnull() & ~values.isnan() if values.type().is_floating() else values.notnull()
    return is_there & parsed.isnull(), values


def _may_be_float(column: ir.Column) -> ir.BooleanValue:
    """Say quickly of most values that they are not whole numbers written as floats."""
    if not column.type().is_string():
        return ibis.literal(False)
    return column.endswith(".0") | column.contains("e+") | column.contains("E+") | column.endswith(".")
