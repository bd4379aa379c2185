"""Times as whole milliseconds since 1970 (UTC), the same integers on every engine, and the days they fall on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import ibis
from ibis.expr import datatypes as dt
from ibis.expr import types as ir

from transformers4recsys.day_format import TIME_UNITS
from transformers4recsys.errors import InputError

MILLISECONDS = {name: unit.milliseconds for name, unit in TIME_UNITS.items()}
# The first of January 2000, for logs that have an order and no time, and for the files of a split.
NO_TIME = 946_684_800_000
EPOCH_UNITS = {"s": 1000, "ms": 1, "us": 1 / 1000, "ns": 1 / 1_000_000}


def milliseconds(column: ir.Column, *, flag: str, time_format: str | None, epoch_unit: str | None) -> ir.IntegerColumn:
    """Read a raw time column of any type; null where a value is missing or does not parse."""
    kind = column.type()
    if kind.is_string() and epoch_unit:
        column, kind = column.try_cast("int64"), dt.int64
    if kind.is_string():
        column = column.as_timestamp(time_format) if time_format else column.try_cast("timestamp('UTC')")
    if kind.is_string() or kind.is_date() or kind.is_timestamp():
        return of_timestamp(column.cast("timestamp"))
    if kind.is_integer():
        factor = EPOCH_UNITS[epoch_unit or "s"]
        return column.cast("int64") * factor if factor >= 1 else column.cast("int64") // round(1 / factor)
    if kind.is_floating():
        return (column * EPOCH_UNITS[epoch_unit or "s"]).round().cast("int64")
    raise InputError(f"{flag} is of type {kind}; allowed are timestamps, dates, text, or numbers since 1970")


def without_effect(kind: dt.DataType, *, time_format: str | None, epoch_unit: str | None) -> list[str]:
    """Name the settings that say nothing about a time column of this type."""
    is_text = kind.is_string()
    has_effect = {
        "time_format": is_text and not epoch_unit,
        "epoch_unit": is_text or kind.is_integer() or kind.is_floating(),
    }
    given = {"time_format": time_format, "epoch_unit": epoch_unit}
    return [f"--{name} {value}" for name, value in given.items() if value and not has_effect[name]]


def of_timestamp(column: ir.TimestampColumn) -> ir.IntegerColumn:
    """Turn a timestamp into milliseconds."""
    # Engines differ in what epoch_seconds does with a fraction, so it is cut off first.
    return column.truncate("s").epoch_seconds().cast("int64") * 1000 + column.millisecond().cast("int64")


def timestamp(column: ir.IntegerColumn) -> ir.TimestampColumn:
    """Turn milliseconds back into a timestamp."""
    return ibis.timestamp("1970-01-01 00:00:00") + column.as_interval("ms")


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
