"""Raw rows become events: the columns that count under standard names, and a reason for every row left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import ibis
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.dialect import FILE
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import PRICE, Recipe

REASONS = (
    "other_event_type",
    "no_item",
    "no_time",
    "no_session_or_user",
    "outside_start_and_end_date",
    "already_written",
)
# Java takes \s and \v for other characters than DuckDB does.
SPACES = r"[ \t\n\r\f\x0B]*"


def standard_columns(
    raw: ir.Table,
    recipe: Recipe,
    *,
    parse_time: times.ParseTime | None = None,
    more: Mapping[str, ir.Value] | None = None,
) -> ir.Table:
    """Select the columns that the recipe names, times and numbers read, ids as they are, missing values null.

    `parse_time` reads times of a `time_format`, see `times.milliseconds`; `more` are columns to add.
    """
    check_columns(raw, recipe)
    session, user = recipe.session_column, recipe.user_column
    key = session or user
    assert key is not None, "a recipe names a session or a user"
    columns: dict[str, ir.Value] = {
        "_time": (
            time_of(raw, recipe, parse_time) if recipe.time_column else ibis.literal(times.NO_TIME, type="int64")
        ),
        "_key": _id(raw, key, recipe),
    }
    if recipe.split_column:
        # A session id may come in two parts, as another session.
        columns["_part"] = known(raw, recipe.split_column, recipe).cast("string")
        columns["_key"] = columns["_part"] + "-" + columns["_key"].cast("string")
    if user:
        columns["_user"] = _id(raw, user, recipe)
    if recipe.order_column:
        order = known(raw, recipe.order_column, recipe)
        columns["_order"] = number_of(order, recipe) if order.type().is_string() else order
    if recipe.event_type_column:
        columns["_type"] = known(raw, recipe.event_type_column, recipe).cast("string")
    columns |= {name: _id(raw, column, recipe) for name, column in recipe.categorical.items()}
    columns |= {name: number_of(known(raw, column, recipe), recipe) for name, column in numbers(recipe).items()}
    if PRICE in columns:
        columns[PRICE] = (columns[PRICE] >= 0).ifelse(columns[PRICE], ibis.null("float64"))
    return raw.select(**columns, **(more or {}))


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


def check_type(name: str, new: ir.Column, old: ir.Column, path: str | Path) -> None:
    """Raise InputError if raw ids are of another type than on the days before."""
    kind, before = (column.type().copy(nullable=True) for column in (new, old))
    if kind != before:
        raise InputError(
            f"`input`: {name} is of type {kind}, but {before} on the days before ({path}); write {before} here too"
        )


def typed(events: ir.Table, database: Database, ids: Iterable[str], known: Mapping[str, tuple[str, str]]) -> ir.Table:
    """Give columns of `ids` without a single value, which so have no type, that of the days before.

    `known` says which file, and which column of it, has the raw ids of the days before; without one, they are text.
    """
    missing = [name for name in ids if name in events.columns and times.is_missing(events[name].type())]
    nulls = {name: ibis.null("string") for name in missing}
    for name in missing:
        if name in known:
            path, column = known[name]
            nulls[name] = ibis.null(database.read("parquet", [path])[column].type())
    return events.mutate(**nulls)


def known(raw: ir.Table, column: str, recipe: Recipe) -> ir.Column:
    """Give a raw column with null for what stands for a missing value: empty text, and the recipe's words."""
    values = raw[column]
    if not values.type().is_string():
        return values
    # One search, as DuckDB strips a value slowly, and in a filter once for each word that it may be. Spark searches
    # slowly, and the first character alone says of most values that they are not missing.
    words = ["", *recipe.missing_values]
    first = values.substr(0, 1)
    may_be_missing = (first <= " ") | first.isin(sorted({word[:1] for word in words}))
    search = values.re_search(rf"^{SPACES}(?:{'|'.join(map(re.escape, words))}){SPACES}\z")
    return may_be_missing.ifelse(search, False).ifelse(ibis.null("string"), values)


def time_of(raw: ir.Table, recipe: Recipe, parse: times.ParseTime | None = None) -> ir.IntegerColumn:
    """Read the time column, as milliseconds."""
    return times.milliseconds(
        known(raw, recipe.time_column or "", recipe),
        where=f"`time_column` {recipe.time_column}",
        time_format=recipe.time_format,
        epoch_unit=recipe.epoch_unit,
        parse=parse,
    )


def numbers(recipe: Recipe) -> dict[str, str]:
    """Give the columns of numbers, by standard name."""
    price = {PRICE: recipe.price_column} if recipe.price_column else {}
    return price | {name: name for name in recipe.numeric_columns}


def number_of(column: ir.Column, recipe: Recipe) -> ir.FloatingColumn:
    """Read a number as a double; null where it is missing, NaN or infinite, and where text is not a number."""
    number = text_as_number(column, recipe) if column.type().is_string() else column.cast("float64")
    is_finite = ~(number.isnan() | number.isinf())
    return is_finite.ifelse(number, ibis.null("float64"))


def text_as_number(column: ir.StringColumn, recipe: Recipe) -> ir.FloatingColumn:
    """Read text as a double; null where it is none."""
    # With a decimal comma, a point would be one between thousands: it is refused, not guessed.
    text = column.replace(".", "?").replace(",", ".") if recipe.decimal == "," else column
    return text.try_cast("float64")


def ids(recipe: Recipe) -> dict[str, str]:
    """Give the raw columns of ids, each once, and the setting that names it."""
    names = ("session_column", "user_column", "item_column", "category_column", "categorical_columns")
    return {column: setting for setting, column in reversed(recipe.raw_columns) if setting in names}


def check_columns(raw: ir.Table, recipe: Recipe) -> None:
    """Raise InputError that lists the columns of the recipe that the log lacks."""
    missing = [f"`{name}` {column}" for name, column in recipe.raw_columns if column not in raw.columns]
    if missing:
        there = ", ".join(name for name in raw.columns if name != FILE)
        hint = "" if recipe.column_names else "; a CSV file without a header needs `column_names`"
        raise InputError(f"`input` has no such column: {', '.join(missing)}; there are {there}{hint}")


def _id(raw: ir.Table, column: str, recipe: Recipe) -> ir.Column:
    """Keep a raw id as it is, whole numbers at one width, a UUID as text; a float is refused."""
    values = known(raw, column, recipe)
    kind = values.type()
    if kind.is_uuid():
        # Day files hold it as text, with which later calls compare.
        return values.cast("string")
    if kind.is_floating() or kind.is_decimal() and kind.scale:
        raise InputError(
            f"`{ids(recipe)[column]}` {column} is of type {kind}, and an id is text or a whole number: floats merge "
            "large ids; write whole numbers (in pandas, .astype('Int64') keeps gaps) or text"
        )
    if kind.is_decimal():
        return values.cast("int64") if (kind.precision or 99) <= 18 else values.cast("string")
    return values.cast("int64") if kind.is_integer() and not kind.is_uint64() else values
