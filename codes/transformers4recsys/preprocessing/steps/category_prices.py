"""Mean price of a category as it was known on each day: of all days before, on the first days of those themselves."""

from __future__ import annotations

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.recipe import CATEGORY, PRICE

# The name under which the database keeps the sums.
KEPT = "category prices"


def sums(events: ir.Table, earlier: ir.Table | None, time_unit: str, fitted_until: int) -> ir.Table:
    """Add prices up, and count them, by category id and day of the event, priced or not; the fitted days are one.

    Columns category, day, total (in 1/10000, whole, so that sums are exact) and count. `earlier` holds
    the sums of the days before this call.
    """
    price = events[PRICE]
    of_events = events.select(
        category=events[CATEGORY],
        day=_day(events, time_unit, fitted_until),
        total=(price * 10_000).round().cast("int64").fill_null(0),
        count=price.notnull().cast("int64"),
    )
    parts = of_events if earlier is None else of_events.union(earlier.cast(dict(of_events.schema())))
    return parts.group_by("category", "day").agg(total=_sum(parts["total"]), count=_sum(parts["count"]))


def with_category_price(events: ir.Table, sums: ir.Table, time_unit: str, fitted_until: int) -> ir.Table:
    """Add `_category_price`, the mean of the event's category known on its day; null where none is known."""
    before = ibis.window(group_by="category", order_by="day", rows=(None, -1))
    is_fitted = sums["day"] == fitted_until
    total = is_fitted.ifelse(sums["total"], sums["total"].sum().over(before))
    count = is_fitted.ifelse(sums["count"], sums["count"].sum().over(before))
    means = sums.select(
        _category=sums["category"],
        _price_day=sums["day"],
        _category_price=total.cast("float64") / count.nullif(0) / 10_000,
    )
    events = events.mutate(_price_day=_day(events, time_unit, fitted_until))
    on = [events[CATEGORY] == means["_category"], events["_price_day"] == means["_price_day"]]
    columns = [name for name in events.columns if name != "_price_day"]
    return events.join(means, on, how="left").select(*(events[name] for name in columns), means["_category_price"])


def until(sums: ir.Table, last_day: int | None) -> ir.Table:
    """Keep the days up to `last_day` (all without one), for the next call, and to know the price of each day later."""
    known = sums if last_day is None else sums.filter(sums["day"] <= last_day)
    return known.filter(known["count"] > 0).order_by(["category", "day"])


def _day(events: ir.Table, time_unit: str, fitted_until: int) -> ir.IntegerColumn:
    return ibis.greatest(times.day_of(events["_time"], time_unit), fitted_until)


def _sum(column: ir.IntegerColumn) -> ir.IntegerScalar:
    # DuckDB adds up to 128 bits, which parquet would hold as a float.
    return column.sum().cast("decimal(38, 0)").cast("int64")
