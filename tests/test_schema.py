"""The feature config: what it says about columns, and how a mistake in it is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from transformers4recsys.errors import InputError
from transformers4recsys.schema import Feature, Schema

ITEM = {"dtype": "categorical", "cardinality": 100, "is_label": True}
ENTRIES = {
    "item": ITEM,
    "brand": {"dtype": "categorical", "cardinality": 7, "log_with_preds_as_metadata": True},
    "price": {"dtype": "float"},
    "clicks": {"dtype": "long"},
    "time": {"dtype": "timestamp", "log_with_preds_as_metadata": True},
    "user": {"dtype": "long", "is_control": True},
    "bef_item": {"dtype": "categorical", "cardinality": 100, "emb_table": "item"},
    "bef_price": {"dtype": "float"},
    "_neg_item": {"dtype": "categorical", "cardinality": 100, "emb_table": "item"},
}


def names(features: tuple[Feature, ...]) -> list[str]:
    return [feature.name for feature in features]


def test_columns_by_their_part():
    schema = Schema.from_entries(ENTRIES, past_prefix="bef_")
    assert schema.item_id == Feature("item", "categorical", cardinality=100, table="item", is_label=True)
    assert names(schema.inputs) == ["item", "brand", "price", "clicks"]
    assert names(schema.categorical) == ["item", "brand"]
    assert names(schema.numeric) == ["price", "clicks"]
    assert names(schema.metadata) == ["brand", "time"]
    assert names(schema.columns) == list(ENTRIES)
    assert schema.ignored == ()


def test_past_and_negative_columns_belong_to_a_feature():
    schema = Schema.from_entries(ENTRIES, past_prefix="bef_")
    assert schema.past_of(schema.item_id) == Feature("bef_item", "categorical", cardinality=100, table="item")
    assert schema.past_of(schema.features[1]) is None
    negatives = schema.negatives_of(schema.item_id)
    assert negatives is not None and negatives.name == "_neg_item"
    assert schema.negatives_of(schema.features[1]) is None


def test_without_session_aware_past_columns_are_ignored():
    schema = Schema.from_entries(ENTRIES)
    assert schema.ignored == ("bef_item", "bef_price") and not schema.past
    assert "bef_item" not in names(schema.columns)


def test_a_column_has_its_own_table_unless_it_names_one():
    schema = Schema.from_entries({"item": ITEM, "last": {**ITEM, "is_label": False, "emb_table": "item"}})
    assert [feature.table for feature in schema.features] == ["item", "item"]


@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps], ids=["yaml", "json"])
def test_a_file_says_the_same_as_a_mapping(tmp_path: Path, dump):
    path = tmp_path / "features.yaml"
    path.write_text(dump(ENTRIES))
    expected = Schema.from_entries(ENTRIES, past_prefix="bef_").to_entries()
    assert Schema.from_file(path, past_prefix="bef_").to_entries() == expected


def test_entries_survive_a_round_trip():
    schema = Schema.from_entries(ENTRIES, past_prefix="bef_")
    assert Schema.from_entries(schema.to_entries(), past_prefix="bef_") == schema


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"item": {**ITEM, "is_label": False}}, "exactly one column.*none has it"),
        ({"item": ITEM, "other": ITEM}, "2 have it: item, other"),
        ({"item": {"dtype": "float", "is_label": True}}, "label item must have dtype categorical"),
        ({"item": {**ITEM, "is_control": True}}, "label item must .* no is_control"),
        ({"item": {**ITEM, "dtype": "string"}}, "dtype 'string'; allowed: categorical, long, float, timestamp"),
        ({"item": {**ITEM, "cardinality": 1}}, "at least 2 .*found 1"),
        ({"item": {**ITEM, "cardinality": "100"}}, "found '100'"),
        ({"item": {**ITEM, "cardinality": None}}, "found None"),
        ({"item": {**ITEM, "cardinalty": 3}}, "unknown key 'cardinalty'; did you mean cardinality"),
        ({"item": {**ITEM, "is_label": "yes"}}, "is_label: expected true or false, found 'yes'"),
        ({"item": ITEM, "price": "float"}, "column price needs settings"),
        ({"item": ITEM, "_neg_brand": ITEM | {"is_label": False}}, "no column 'brand'"),
        (
            {"item": ITEM, "b": {"dtype": "categorical", "cardinality": 9, "emb_table": "item"}},
            "share emb_table 'item'",
        ),
        ({}, "one entry a column"),
        ([1], "one entry a column"),
    ],
)
def test_a_mistake_is_named(entries: object, said: str):
    with pytest.raises(InputError, match=said) as refusal:
        Schema.from_entries(entries, where="features.yaml")
    assert str(refusal.value).startswith("features.yaml: ")


def test_a_past_of_no_column_is_refused():
    with pytest.raises(InputError, match="no column 'size'"):
        Schema.from_entries({"item": ITEM, "bef_size": {"dtype": "float"}}, past_prefix="bef_")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), ("{a: [", "neither YAML nor JSON"), ("", "one entry")]
)
def test_an_unusable_file_is_named(tmp_path: Path, content: str | None, said: str):
    path = tmp_path / "features.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as refusal:
        Schema.from_file(path)
    assert str(path) in str(refusal.value)
