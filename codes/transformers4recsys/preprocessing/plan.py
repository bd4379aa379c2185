"""Which steps the events of a recipe go through: checked for missing columns before any data is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from transformers4recsys.day_format import HISTORY_PREFIX, NEGATIVES_PREFIX
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.columns import KEY, NEGATIVES, ORDER, PART, TIME, USER, Step, check
from transformers4recsys.preprocessing.recipe import ITEM, PRICE, Recipe
from transformers4recsys.preprocessing.steps import (
    category_prices,
    day_files,
    features,
    items,
    negatives,
    sessions,
    splits,
    vocabulary,
)


def check_plan(recipe: Recipe) -> None:
    """Follow the columns through all steps; AssertionError if one is missing, InputError on names of the output."""
    numbers = features.numbers_of(recipe, has_time_of_day=True)
    columns = check(steps_of_events(recipe, numbers), columns_of_events(recipe))
    check(steps_of_rows(recipe), check([day_files.as_rows], columns))
    items.own_columns(recipe)
    output_names(recipe, numbers)


def columns_of_events(recipe: Recipe) -> list[str]:
    """List the columns of clean events."""
    optional = {USER: recipe.user_column, ORDER: recipe.order_column, PART: recipe.split_column}
    own = [name for name, is_there in optional.items() if is_there]
    price = [PRICE] if recipe.price_column else []
    return [TIME, KEY, *own, *recipe.categorical, *price, *recipe.numeric_columns]


def steps_of_events(recipe: Recipe, numbers: Mapping[str, features.Number]) -> list[Step]:
    """List the steps from clean events to those that become rows."""
    by_gap = [sessions.with_start] if recipe.gap_minutes is not None else [sessions.of_new]
    core = [splits.in_core] if recipe.k_core else []
    part = [splits.with_valid_part] if recipe.split_column else []
    stage = [replace(splits.with_stage, needs=splits.STAGES[recipe.split].needs)] if recipe.is_split else []
    prices = [category_prices.with_category_price] if "relative_price" in numbers else []
    needs = tuple({name: None for number in numbers.values() for name in number.needs})
    with_numbers = replace(features.with_numbers, needs=needs, gives=(*features.with_numbers.gives, *numbers))
    with_ids = [vocabulary.with_ids, sessions.with_row, sessions.in_order, sessions.kept]
    return [*by_gap, *core, *part, *with_ids, *stage, *prices, with_numbers]


def steps_of_rows(recipe: Recipe) -> list[Step]:
    """List the steps from the rows of sessions to those that are written."""
    return [negatives.with_negatives] if recipe.neg_samples else []


def output_names(recipe: Recipe, numbers: Iterable[str]) -> dict[str, str]:
    """Map every column of the day files to its name there; InputError if two have the same."""
    lists = list_columns(recipe, numbers)
    scalars = ["session_id", "session_start", *(["user_id"] if recipe.user_column else [])]
    names = {name: recipe.output_name(name) for name in (*scalars, *lists)}
    more = {HISTORY_PREFIX + name: HISTORY_PREFIX + names[name] for name in lists if recipe.has_history}
    if recipe.neg_samples:
        more[NEGATIVES] = NEGATIVES_PREFIX + names[ITEM]
    for name, output in names.items():
        if output in more.values():
            raise InputError(
                f"column {name!r} cannot be called {output!r}: this is the name of a column of histories or negatives; "
                f"give it another one: names: {{{name}: other}}"
            )
    return names | more


def list_columns(recipe: Recipe, numbers: Iterable[str]) -> list[str]:
    """List the columns of the day files that are lists, by standard name."""
    return [*recipe.categorical, *numbers, "event_time"]
