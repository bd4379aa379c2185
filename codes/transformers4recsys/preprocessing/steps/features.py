"""Numbers that a model reads beside ids: prices, pauses, ages of items, time of day; fitted on the first days."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import CATEGORY_PRICE, FIRST_SEEN, PAUSE, TIME, Expression, column, step
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import PRICE, Recipe

FEW = 100
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Number:
    """A numeric feature of an event: its value (null: unknown) of columns, and whether it is standardised."""

    value: Callable[[ir.Table], Expression]
    needs: tuple[str, ...]
    is_standardised: bool = True
    needs_time_of_day: bool = False
    needs_date: bool = False


@dataclass(frozen=True)
class Standardizer:
    """Mean and standard deviation of a feature on the first days."""

    mean: float
    std: float


def _cycle(part: Callable[[Expression], Expression], length: int, wave: str) -> Callable[[ir.Table], Expression]:
    return lambda table: getattr(part(TIME.of(table)) * (2 * math.pi / length), wave)()


NUMBERS: dict[str, Number] = {
    PRICE: Number(lambda t: (column(t, PRICE) + 1).ln(), (PRICE,)),
    "relative_price": Number(
        lambda t: column(t, PRICE) / CATEGORY_PRICE.of(t).nullif(0) - 1, (PRICE, CATEGORY_PRICE), is_standardised=False
    ),
    "time_since_last": Number(lambda t: (PAUSE.of(t).fill_null(0) / 1000 + 1).ln(), (PAUSE,), needs_time_of_day=True),
    # In the first days of a log every item is new: fitted there, the standard deviation would be far too small later.
    "item_age": Number(
        lambda t: ((TIME.of(t) - FIRST_SEEN.of(t)) / times.MILLISECONDS["day"] + 1).ln(),
        (TIME, FIRST_SEEN),
        is_standardised=False,
        needs_date=True,
    ),
    "hour_sin": Number(_cycle(times.hour_of, 24, "sin"), (TIME,), is_standardised=False, needs_time_of_day=True),
    "hour_cos": Number(_cycle(times.hour_of, 24, "cos"), (TIME,), is_standardised=False, needs_time_of_day=True),
    "weekday_sin": Number(_cycle(times.weekday_of, 7, "sin"), (TIME,), is_standardised=False, needs_date=True),
    "weekday_cos": Number(_cycle(times.weekday_of, 7, "cos"), (TIME,), is_standardised=False, needs_date=True),
}


def numbers_of(recipe: Recipe, *, has_time_of_day: bool) -> dict[str, Number]:
    """Choose the features that the raw columns allow."""
    has_date = bool(recipe.time_column)
    numbers = {
        name: number
        for name, number in NUMBERS.items()
        if (has_time_of_day or not number.needs_time_of_day) and (has_date or not number.needs_date)
    }
    if not recipe.price_column:
        del numbers[PRICE]
    if not (recipe.price_column and recipe.category_column):
        del numbers["relative_price"]
    return numbers | {name: Number(lambda t, name=name: column(t, name), (name,)) for name in recipe.numeric_columns}


def fitted(database: Database, events: ir.Table, numbers: Mapping[str, Number]) -> dict[str, Standardizer]:
    """Measure mean and standard deviation of each standardised feature; raise InputError if there is no event."""
    wanted = {name: number.value(events) for name, number in numbers.items() if number.is_standardised}
    if not wanted:
        return {}
    values = events.select(**wanted)
    measures = {f"mean {name}": column(values, name).mean() for name in wanted}
    measures |= {f"std {name}": column(values, name).std(how="pop") for name in wanted}
    found = database.rows(values.agg(count=values.count(), **measures))[0]
    if not found["count"]:
        raise InputError(
            "the first days have no session of two items to fit numeric features on; give a later --start_date"
        )
    if found["count"] < FEW:
        log.warning(
            "numeric features are standardised on only %d events: is most of the first day missing from the log?",
            found["count"],
        )
    return {name: _standardizer(found[f"mean {name}"], found[f"std {name}"]) for name in wanted}


def _standardizer(mean: float | None, std: float | None) -> Standardizer:
    # Rounded: the order in which threads add up must not show.
    mean, std = (float(f"{value or 0.0:.7g}") for value in (mean, std))
    return Standardizer(mean, std if std > 1e-6 else 1.0)


@step(gives=("event_time",))
def with_numbers(
    events: ir.Table, numbers: Mapping[str, Number], standardizers: Mapping[str, Standardizer]
) -> ir.Table:
    """Add `event_time` and the features, float32; an unknown value is 0, the mean of a standardised one."""
    columns = {"event_time": times.timestamp(TIME.of(events))}
    for name, number in numbers.items():
        value = number.value(events)
        if number.is_standardised:
            value = (value - standardizers[name].mean) / standardizers[name].std
        columns[name] = value.fill_null(0.0).cast("float32")
    return events.mutate(**columns)
