"""Raw events get the columns that they lack: those of their items from the item table, all others empty."""

from __future__ import annotations

import ibis
import pyarrow as pa
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.recipe import PRICE, Recipe
from transformers4recsys.preprocessing.steps.items import own_columns


def with_item_columns(raw: ir.Table, recipe: Recipe, items: pa.Table | None) -> ir.Table:
    """Add the raw columns of the recipe that `raw` lacks; raise InputError without an item or a session column."""
    _require(raw, recipe)
    lacking = [column for _, column in recipe.raw_columns if column not in raw.columns]
    known = _names_in_item_table(recipe, items) if items else {}
    found = {column: known[column] for column in lacking if column in known}
    if items and found:
        columns = {column: items.column(name) for column, name in found.items()}
        table = ibis.memtable(pa.table({"_item": items.column("raw").cast(pa.string()), **columns}))
        raw = raw.left_join(table, raw[recipe.item_column].cast("string") == table["_item"]).drop("_item")
    empty: dict[str, ir.Value] = {column: ibis.null("string") for column in lacking if column not in known}
    if recipe.time_column in empty:
        # Its own type is unknown; what depends on times is left out by the caller.
        empty[recipe.time_column] = ibis.literal(times.NO_TIME, type="int64").as_timestamp("ms")
    return raw.mutate(**empty) if empty else raw


def _names_in_item_table(recipe: Recipe, items: pa.Table) -> dict[str, str]:
    """Name the column of the item table for each raw column that it knows."""
    raw_of = {PRICE: recipe.price_column} | {name: name for name in recipe.numeric_columns} | recipe.categorical
    names = {raw_of[name]: output for name, output in own_columns(recipe).items()}
    return {raw: output for raw, output in names.items() if raw and output in items.column_names}


def _require(raw: ir.Table, recipe: Recipe) -> None:
    names = ("item_column", "session_column" if recipe.session_column else "user_column")
    needed = {name: getattr(recipe, name) for name in names}
    for setting, column in needed.items():
        if column not in raw.columns:
            raise InputError(
                f"the events have no column {column!r}, the `{setting}` of the run; there are {', '.join(raw.columns)}"
            )
