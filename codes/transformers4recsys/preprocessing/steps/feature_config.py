"""`features.yaml`: which columns the day files have, of which kind and size; beside it, one of the item alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from transformers4recsys.day_format import FEATURES_FILE, HISTORY_PREFIX, ITEM_FEATURES_FILE, NEGATIVES_PREFIX
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.schema import Feature, Schema


def schema_of(
    recipe: Recipe, cardinalities: Mapping[str, int], numbers: Sequence[str], dtype_of_id: Mapping[str, str]
) -> Schema:
    """Describe the columns by their output names; `dtype_of_id` has those of scalar ids (session_id, user_id)."""
    name = recipe.output_name
    features = [
        Feature(name(column), "categorical", size, name(column), is_label=column == ITEM)
        for column, size in cardinalities.items()
    ]
    features += [Feature(name(column), "float") for column in numbers]
    features.append(Feature(name("event_time"), "timestamp", is_control=True))
    history = {}
    if recipe.has_history:
        history = {
            f.name: Feature(HISTORY_PREFIX + f.name, f.dtype, f.cardinality, f.table, is_control=f.is_control)
            for f in features
        }
    drawn = {
        f.name: Feature(NEGATIVES_PREFIX + f.name, f.dtype, f.cardinality, f.table)
        for f in features
        if f.is_label and recipe.neg_samples
    }
    ids = [Feature(name(column), dtype, is_metadata=True, is_control=True) for column, dtype in dtype_of_id.items()]
    return Schema((*features, *ids), history, drawn)


def write(schema: Schema, folder: Path) -> None:
    """Write the config of all columns, and one of the item id alone (with its history and negatives, and other ids)."""
    label = schema.item_id
    ids = [feature for feature in schema.features if feature.is_metadata]
    history = {label.name: schema.past[label.name]} if schema.past else {}
    for file, config in (
        (FEATURES_FILE, schema),
        (ITEM_FEATURES_FILE, Schema((label, *ids), history, schema.negatives)),
    ):
        text = yaml.safe_dump(config.to_entries(), sort_keys=False, allow_unicode=True)
        (folder / file).write_text(
            "# Written by `transformers4recsys preprocess`; copy it before you change it.\n" + text, encoding="utf-8"
        )
