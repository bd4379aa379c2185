"""Times as whole milliseconds since 1970 (UTC), the same integers on every engine, and the days they fall on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import ibis
from ibis.expr import datatypes as dt
from ibis.expr import types as ir

from transformers4recsys.day_format import TIME_UNITS
from transformers4recsys.errors import InputError

MILLISECONDS = {name: unit.milliseconds for name, unit in TIME_UNITS.items()}
# The first of January 2000, for logs that have an order and no time, and for the files of a split.
NO_TIME = 946_684_800_000
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
ParseTime = Callable[[ir.StringColumn, str], ir.TimestampColumn]


# Functions of Spark, where Ibis writes out the same in a way that takes far longer.
@ibis.udf.scalar.builtin
def unix_millis(time: dt.timestamp) -> dt.int64:  # type: ignore[empty-body]
    """Give the milliseconds since 1970 of a time that has no finer part: with one, databases differ."""


@ibis.udf.scalar.builtin
def timestamp_millis(number: dt.int64) -> dt.timestamp:  # type: ignore[empty-body]
    """Give the time of a number of milliseconds since 1970; DuckDB has a macro of this name."""


def is_missing(kind: dt.DataType) -> bool:
    """Say whether this is the type of a column without any value, as databases name it."""
    return kind.is_null() or kind.is_unknown()


def milliseconds(
    column: ir.Column, *, where: str, time_format: str | None, epoch_unit: str | None, parse: ParseTime | None = None
) -> ir.IntegerColumn:
    """Read a raw time column of any type; null where a value is missing or does not parse.

    One time is one number, whatever its type: what is finer than a millisecond is cut off. `parse` reads text of a
    `time_format`; as Ibis does without it, which raises an error on other text.
    """
    kind, unit = column.type(), epoch_unit or "s"
    if kind.is_string() and epoch_unit:
        # A whole number of nanoseconds has more digits than a float.
        whole = column.re_search(r"^\s*[+-]?\d+\s*$")
        of_whole = _of_whole(whole.ifelse(column, ibis.null("string")).try_cast("int64"), unit)
        of_float = _of_float(whole.ifelse(ibis.null("string"), column).try_cast("float64"), unit)
        return ibis.coalesce(of_whole, of_float)
    if kind.is_string() and time_format:
        return of_timestamp(
            (parse(column, time_format) if parse else column.as_timestamp(time_format)).cast("timestamp")
        )
    if kind.is_string():
        return of_timestamp(column.try_cast("timestamp('UTC')").cast("timestamp"))
    if kind.is_date() or kind.is_timestamp():
        return of_timestamp(column.cast("timestamp"))
    if kind.is_integer():
        return _of_whole(column.cast("int64"), unit)
    if kind.is_floating() or kind.is_decimal():
        return _of_float(column.cast("float64"), unit)
    found = "holds no value" if is_missing(kind) else f"is of type {kind}"
    raise InputError(f"{where} {found}; allowed are timestamps, dates, text, or numbers since 1970")


def _of_whole(column: ir.IntegerColumn, unit: str) -> ir.IntegerColumn:
    per_millisecond = NANOSECONDS["ms"] // NANOSECONDS[unit]
    if per_millisecond:
        return column // per_millisecond
    factor = NANOSECONDS[unit] // NANOSECONDS["ms"]
    # A number too large for a time is none.
    return column.between(-(2**62) // factor, 2**62 // factor).ifelse(column, ibis.null("int64")) * factor


def _of_float(column: ir.FloatingColumn, unit: str) -> ir.IntegerColumn:
    """Round to microseconds, as finely as a float has times of today, before the rest is cut off."""
    factor = NANOSECONDS[unit] / NANOSECONDS["us"]
    # A number too large for a time, infinity and NaN are none.
    is_time = column.abs() * factor < 2.0**62
    return (is_time.ifelse(column, ibis.null("float64")) * factor).round().cast("int64") // 1000


def without_effect(kind: dt.DataType, *, time_format: str | None, epoch_unit: str | None) -> list[str]:
    """Name the settings that say nothing about a time column of this type."""
    is_text = kind.is_string()
    has_effect = {
        "time_format": is_text and not epoch_unit,
        "epoch_unit": is_text or kind.is_numeric(),
    }
    given = {"time_format": time_format, "epoch_unit": epoch_unit}
    return [f"`{name}` {value}" for name, value in given.items() if value and not has_effect[name]]


def of_timestamp(column: ir.TimestampColumn) -> ir.IntegerColumn:
    """Turn a timestamp into milliseconds; what is finer is cut off."""
    return unix_millis(column.truncate("ms"))


def timestamp(column: ir.IntegerColumn) -> ir.TimestampColumn:
    """Turn milliseconds back into a timestamp."""
    return timestamp_millis(column)


def day_of(column: ir.IntegerColumn, time_unit: str) -> ir.IntegerColumn:
    """Number the day (or hour) of each time, counted from 1970."""
    return (column // MILLISECONDS[time_unit]).cast("int64")


def hour_of(column: ir.IntegerColumn) -> ir.IntegerColumn:
    """Hour of the day, 0 to 23."""
    return day_of(column, "hour") % 24


def weekday_of(column: ir.IntegerColumn) -> ir.IntegerColumn:
    """Day of the week, Monday is 0; 1970 began on a Thursday."""
    return (day_of(column, "day") + 3) % 7


def label(day: int, time_unit: str) -> str:
    """Name a day (or hour) as its files do."""
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=day * MILLISECONDS[time_unit])
    return TIME_UNITS[time_unit].name(start)


def day_number(text: str, time_unit: str, *, flag: str) -> int:
    """Give the number of the day (or hour) called `text`."""
    start = TIME_UNITS[time_unit].parse(text, flag).replace(tzinfo=UTC)
    return round(start.timestamp() * 1000) // MILLISECONDS[time_unit]
