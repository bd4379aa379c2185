"""Mean price of a category as it was known on each day: of all days before, on the first days of those themselves."""

from __future__ import annotations

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import CATEGORY_PRICE, TIME, Expression, column, step
from transformers4recsys.preprocessing.recipe import CATEGORY, PRICE


def sums(events: ir.Table, earlier: ir.Table | None, time_unit: str, fitted_until: int) -> ir.Table:
    """Add prices up, and count them, by category id and day of the event, priced or not; the fitted days are one.

    Columns category, day, total (in 1/10000, whole, so that sums are exact) and count. `earlier` holds
    the sums of the days before this call.
    """
    price = column(events, PRICE)
    of_events = events.select(
        category=CATEGORY,
        day=_day(events, time_unit, fitted_until),
        total=(price * 10_000).round().cast("int64").fill_null(0),
        count=price.notnull().cast("int64"),
    )
    parts = of_events if earlier is None else of_events.union(earlier.cast(dict(of_events.schema())))
    return parts.group_by("category", "day").agg(total=_sum(parts, "total"), count=_sum(parts, "count"))


@step(needs=(CATEGORY, TIME), gives=(CATEGORY_PRICE,))
def with_category_price(events: ir.Table, sums: ir.Table, time_unit: str, fitted_until: int) -> ir.Table:
    """Add `_category_price`, the mean of the event's category known on its day; null where none is known."""
    before = ibis.window(group_by="category", order_by="day", rows=(None, -1))
    is_fitted = column(sums, "day") == fitted_until
    total, count = (
        is_fitted.ifelse(column(sums, name), column(sums, name).sum().over(before)) for name in ("total", "count")
    )
    mean = total.cast("float64") / count.nullif(0) / 10_000
    means = sums.select(_category="category", _price_day="day", **{CATEGORY_PRICE: mean})
    events = events.mutate(_price_day=_day(events, time_unit, fitted_until))
    on = [column(events, CATEGORY) == means["_category"], column(events, "_price_day") == means["_price_day"]]
    columns = [name for name in events.columns if name != "_price_day"]
    return events.join(means, on, how="left").select(*(events[name] for name in columns), means[CATEGORY_PRICE])


def until(sums: ir.Table, last_day: int | None) -> ir.Table:
    """Keep the days up to `last_day` (all without one), for the next call, and to know the price of each day later."""
    known = sums if last_day is None else sums.filter(column(sums, "day") <= last_day)
    return known.filter(column(known, "count") > 0).order_by(["category", "day"])


def _day(events: ir.Table, time_unit: str, fitted_until: int) -> Expression:
    return ibis.greatest(times.day_of(TIME.of(events), time_unit), fitted_until)


def _sum(table: ir.Table, name: str) -> Expression:
    # DuckDB adds up to 128 bits, which parquet would hold as a float.
    return column(table, name).sum().cast("decimal(38, 0)").cast("int64")
