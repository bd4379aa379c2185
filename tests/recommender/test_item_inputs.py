import numpy as np

from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.item_inputs import ItemInputs
from transformers4recsys.schema import Schema


def test_without_a_recipe_other_inputs_read_0(schema, caplog):
    inputs = ItemInputs(schema, ItemIds.from_vocabulary(None, num_items=31), None)
    columns = inputs.columns_of(np.array([3, 7, 3]))
    assert {name: values.tolist() for name, values in columns.items()} == {
        "item_id": [3, 7, 3],
        "category": [0, 0, 0],
        "price": [0.0, 0.0, 0.0],
    }
    assert columns["price"].dtype == np.float32 and columns["category"].dtype == np.int64
    assert "category, price" in caplog.text


def test_a_model_of_items_alone_needs_nothing_else(caplog):
    schema = Schema.from_entries({"item_id": {"dtype": "categorical", "cardinality": 5, "is_label": True}})
    inputs = ItemInputs(schema, ItemIds.from_vocabulary(None, num_items=5), None)
    assert list(inputs.columns_of(np.array([1]))) == ["item_id"] and not caplog.text
