"""Raw rows become events: the columns that count under standard names, and a reason for every row left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
from ibis.expr import types as ir

from transformers4recsys.day_format import SPLITS
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import PRICE, Recipe

YEAR_MILLISECONDS = 365.2425 * times.MILLISECONDS["day"]
REASONS = (
    "other_event_type",
    "no_item",
    "no_time",
    "no_session_or_user",
    "outside_start_and_end_date",
    "already_written",
)


@dataclass(frozen=True)
class Audit:
    """What one pass over the raw rows found; `dropped` has a count a reason, `kept` is the rest."""

    read: int
    kept: int
    dropped: Mapping[str, int]
    has_time_of_day: bool
    without_price: int
    last_time: int


def standard_columns(raw: ir.Table, recipe: Recipe) -> ir.Table:
    """Select the columns that the recipe names, times and numbers read, ids as they are."""
    _check_columns(raw, recipe)
    session, user = recipe.session_column, recipe.user_column
    columns: dict[str, ir.Value] = {
        "_time": _time(raw, recipe) if recipe.time_column else ibis.literal(times.NO_TIME, type="int64"),
        "_key": _id(raw[session or user]),
    }
    if recipe.split_column:
        # A session id may come in two parts, as another session.
        columns["_part"] = raw[recipe.split_column].cast("string")
        columns["_key"] = columns["_part"] + "-" + columns["_key"].cast("string")
    if user:
        columns["_user"] = _id(raw[user])
    if recipe.order_column:
        order = raw[recipe.order_column]
        columns["_order"] = _number(order) if order.type().is_string() else order
    if recipe.event_type_column:
        columns["_type"] = raw[recipe.event_type_column].cast("string")
    columns |= {name: _id(raw[column]) for name, column in recipe.categorical.items()}
    columns |= {name: _number(raw[column]) for name, column in _numbers(recipe).items()}
    if PRICE in columns:
        columns[PRICE] = (columns[PRICE] >= 0).ifelse(columns[PRICE], ibis.null("float64"))
    return raw.select(**columns)


def with_reason(
    table: ir.Table, recipe: Recipe, *, written_before: int | None, first_day: int | None, last_day: int | None
) -> ir.Table:
    """Add `_reason`: the first of REASONS that applies to a row, null for the events to keep.

    Earlier calls have written what happened before `written_before`, in milliseconds.
    """
    day = times.day_of(table["_time"], recipe.time_unit)
    never = ibis.literal(False)
    is_outside = never
    if first_day is not None:
        is_outside = is_outside | (day < first_day)
    if last_day is not None:
        is_outside = is_outside | (day > last_day)
    conditions = (
        ~table["_type"].isin(recipe.event_types).fill_null(False) if recipe.event_types else never,
        table["item_id"].isnull(),
        table["_time"].isnull(),
        table["_key"].isnull(),
        is_outside,
        never if written_before is None else table["_time"] < written_before,
    )
    return table.mutate(_reason=ibis.cases(*zip(conditions, REASONS, strict=True), else_=ibis.null("string")))


def without_reason(table: ir.Table) -> ir.Table:
    """Choose the events to keep, and drop the columns that only the choice needed."""
    return table.filter(table["_reason"].isnull()).drop("_reason", *({"_type"} & set(table.columns)))


def audit(database: Database, raw: ir.Table, recipe: Recipe, table: ir.Table) -> Audit:
    """Count the rows by reason; raise InputError on values that cannot be read and on an empty result."""
    _check_readable(database, raw, recipe)
    _check_parts(database, raw, recipe)
    is_midnight = table["_time"] % times.MILLISECONDS["day"] == 0
    groups = database.rows(
        table.group_by("_reason").agg(
            count=ibis._.count(),
            first=table["_time"].min(),
            last=table["_time"].max(),
            timed=(~is_midnight).sum(),
            without_price=table[PRICE].isnull().sum() if recipe.price_column else ibis.literal(0),
        )
    )
    by_reason = {group["_reason"]: group for group in groups}
    kept = by_reason.pop(None, None)
    dropped = {reason: by_reason[reason]["count"] for reason in REASONS if reason in by_reason}
    read = sum(group["count"] for group in groups)
    if kept is None:
        if "already_written" in dropped:
            return Audit(read, 0, dropped, False, 0, 0)
        causes = ", ".join(f"{reason} {count}" for reason, count in dropped.items()) or "there are no rows"
        raise InputError(f"--input has no event that can be used ({read} rows read): {causes}")
    _check_years(kept, recipe)
    return Audit(read, kept["count"], dropped, bool(kept["timed"]), kept["without_price"], kept["last"])


def check_type(name: str, new: ir.Column, old: ir.Column, path: str | Path) -> None:
    """Raise InputError if raw ids are of another type than on the days before."""
    kind, before = (column.type().copy(nullable=True) for column in (new, old))
    if kind != before:
        raise InputError(f"--input: {name} is of type {kind}, but {before} on the days before ({path}); give one")


def _check_columns(raw: ir.Table, recipe: Recipe) -> None:
    missing = [f"--{name} {column}" for name, column in recipe.raw_columns if column not in raw.columns]
    if missing:
        raise InputError(f"--input has no such column: {', '.join(missing)}; there are {', '.join(raw.columns)}")


def _check_readable(database: Database, raw: ir.Table, recipe: Recipe) -> None:
    """Raise InputError if a text value of the time column or of a number does not parse."""
    names = [recipe.time_column, *_numbers(recipe).values(), recipe.order_column]
    for name in filter(None, names):
        column, is_time = raw[name], name == recipe.time_column
        if not column.type().is_string():
            continue
        parsed = _time(raw, recipe) if is_time else _number(column)
        bad = database.rows(raw.filter(column.notnull() & parsed.isnull()).select(value=column).limit(1))
        if bad:
            expected = "a time; give --time_format or --epoch_unit if it is one" if is_time else "a number"
            raise InputError(f"--input: column {name} holds {bad[0]['value']!r}, which is not {expected}")


def _check_parts(database: Database, raw: ir.Table, recipe: Recipe) -> None:
    if not recipe.split_column:
        return
    part = raw[recipe.split_column].cast("string")
    other = database.rows(raw.filter(~part.isin(SPLITS)).select(value=part).limit(1))
    if other:
        raise InputError(
            f"--input: column {recipe.split_column} holds {other[0]['value']!r}; allowed are {', '.join(SPLITS)}"
        )


def _check_years(kept: Mapping[str, Any], recipe: Recipe) -> None:
    first, last = (1970 + round(kept[name] / YEAR_MILLISECONDS) for name in ("first", "last"))
    if first < 1980 or last > 2200:
        raise InputError(
            f"--time_column {recipe.time_column}: times reach from the year {first} to {last}; check --epoch_unit "
            f"({recipe.epoch_unit or 's'}), or leave wrong rows out by --start_date and --end_date"
        )


def _time(raw: ir.Table, recipe: Recipe) -> ir.IntegerColumn:
    return times.milliseconds(
        raw[recipe.time_column],
        flag=f"--time_column {recipe.time_column}",
        time_format=recipe.time_format,
        epoch_unit=recipe.epoch_unit,
    )


def _numbers(recipe: Recipe) -> dict[str, str]:
    price = {PRICE: recipe.price_column} if recipe.price_column else {}
    return price | {name: name for name in recipe.numeric_columns}


def _id(column: ir.Column) -> ir.Column:
    """Keep a raw id as it is, whole numbers at one width, a UUID as text; NaN, a missing one of pandas, is null."""
    kind = column.type()
    if kind.is_uuid():
        # Day files hold it as text, with which later calls compare.
        return column.cast("string")
    if kind.is_floating():
        return column.isnan().ifelse(ibis.null(kind), column)
    return column.cast("int64") if kind.is_integer() and not kind.is_uint64() else column


def _number(column: ir.Column) -> ir.FloatingColumn:
    """Read a number as a double; null where it is missing, NaN or infinite."""
    number = column.try_cast("float64") if column.type().is_string() else column.cast("float64")
    is_finite = ~(number.isnan() | number.isinf())
    return is_finite.ifelse(number, ibis.null("float64"))
