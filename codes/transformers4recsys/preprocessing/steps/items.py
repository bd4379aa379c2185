"""`items.parquet`: a row an item, with the last known raw values of its own columns.

Columns: `raw`, the item's id in the log; `id`, its id in the day files (int64); then, by their output names, those
that the recipe has of the category, further categorical columns (both as in the log), the price and further numeric
columns (float64). Rows go by `id`. A value is that of the item's last event with a value, the largest one if several
happen at that time, and null if there is none. What a later call finds replaces what earlier calls have found.
"""

from __future__ import annotations

from pathlib import Path

import ibis
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.columns import TIME, column
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, PRICE, Recipe
from transformers4recsys.preprocessing.tables import Kept

KEYS = ("raw", "id")


def own_columns(recipe: Recipe) -> dict[str, str]:
    """Map the columns of events that describe their item to their names in the file."""
    price = [PRICE] if recipe.price_column else []
    names = [name for name in (*recipe.categorical, *price, *recipe.numeric_columns) if name != ITEM]
    columns = {name: recipe.output_name(name) for name in names}
    for name, output in columns.items():
        if output in KEYS:
            raise InputError(
                f"column {name!r} cannot be called {output!r}, as the table of items has a column of this name; "
                f"give it another one: names: {{{name}: other}}"
            )
    return columns


def last_known(database: Database, events: ir.Table, recipe: Recipe) -> ir.Table:
    """Find the last value of each item in events with raw values: `raw`, and the own columns by their names there.

    An item without a value may be missing.
    """
    columns = own_columns(recipe)
    if not columns:
        return events.select(raw=ITEM).distinct()
    # Two groupings cost a third of one by the largest pair of time and value.
    times = {f"_last {name}": TIME.of(events).max(where=events[name].notnull()) for name in columns}
    # Kept, as Spark joins a table that is known to be small without an exchange of events.
    last = database.keep(Kept.LAST_TIMES, events.group_by(_item=ITEM).agg(**times))
    joined = events.join(last, column(events, ITEM) == last["_item"])
    is_last = {name: (TIME.of(joined) == column(joined, f"_last {name}")).fill_null(False) for name in columns}
    joined = joined.filter(ibis.or_(*is_last.values()))
    values = {output: column(joined, name).max(where=is_last[name]) for name, output in columns.items()}
    return joined.group_by(raw=ITEM).agg(**values)


def table_of(database: Database, vocabulary: ir.Table, found: ir.Table, earlier: Path | None) -> ir.Table:
    """Lay out the file: all items of the vocabulary, with what `last_known` found, else what `earlier` says."""
    names = [name for name in found.columns if name != "raw"]
    items = vocabulary.select(*KEYS)
    sources = [found]
    if earlier:
        # What an older version did not write, or had no value and so no type of its own, no item has.
        before = database.read("parquet", [str(earlier)])
        is_text = {name: before[name].type().is_string() for name in before.columns}
        same = [name for name in names if is_text.get(name) is found[name].type().is_string()]
        sources.append(before.select("raw", *same))
    for number, source in enumerate(sources):
        source = source.rename(**{f"{name} {number}": name for name in source.columns})
        items = items.left_join(source, column(items, "raw") == source[f"raw {number}"])
    columns = {
        name: ibis.coalesce(*(items[f"{name} {n}"] for n, source in enumerate(sources) if name in source.columns))
        for name in names
    }
    return database.keep(Kept.ITEMS, items.select(*KEYS, **columns)).order_by("id")
