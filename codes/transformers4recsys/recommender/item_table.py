"""Raw events get the columns that they lack: those of their items from the item table, all others empty."""

from __future__ import annotations

import ibis
import pyarrow as pa
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.recipe import CATEGORY, ITEM, PRICE, Recipe


def with_item_columns(raw: ir.Table, recipe: Recipe, items: pa.Table | None) -> ir.Table:
    """Add the raw columns of the recipe that `raw` lacks; raise InputError without an item or a session column."""
    _require(raw, recipe)
    lacking = [column for _, column in recipe.raw_columns if column not in raw.columns]
    known = {
        column: name for column, name in _item_columns(recipe).items() if items and name in items.column_names
    }
    found = [column for column in lacking if column in known]
    if found:
        assert items is not None
        columns = {column: items.column(known[column]) for column in found}
        table = ibis.memtable(pa.table({"_item": items.column("raw").cast(pa.string()), **columns}))
        raw = raw.left_join(table, raw[recipe.item_column].cast("string") == table["_item"]).drop("_item")
    empty: dict[str, ir.Value] = {column: ibis.null("string") for column in lacking if column not in known}
    if recipe.time_column in empty:
        # Its own type is unknown; what depends on times is left out by the caller.
        empty[recipe.time_column] = times.timestamp(ibis.literal(times.NO_TIME, type="int64"))
    return raw.mutate(**empty) if empty else raw


def _item_columns(recipe: Recipe) -> dict[str, str]:
    """Name the columns of the item table for the raw columns that they hold."""
    named = {recipe.category_column: CATEGORY, recipe.price_column: PRICE}
    own = {column: column for column in (*recipe.categorical_columns, *recipe.numeric_columns)}
    return {column: recipe.output_name(name) for column, name in (named | own).items() if column and name != ITEM}


def _require(raw: ir.Table, recipe: Recipe) -> None:
    names = ("item_column", "session_column" if recipe.session_column else "user_column")
    needed = {name: getattr(recipe, name) for name in names}
    for setting, column in needed.items():
        if column not in raw.columns:
            raise InputError(
                f"the events have no column {column!r}, the `{setting}` of the run; there are {', '.join(raw.columns)}"
            )
