import ibis
import pyarrow as pa
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.recommender.item_table import with_item_columns

RECIPE = Recipe(
    item_column="sku",
    time_column="when",
    session_column="visit",
    category_column="kind",
    price_column="cost",
    categorical_columns=("brand",),
    names={"category": "group"},
)
ITEMS = pa.table({"raw": [7, 9], "id": [1, 2], "group": ["hat", "shoe"], "brand": [None, "A"], "price": [1.5, None]})


def completed(raw, items=ITEMS):
    table = with_item_columns(ibis.memtable(raw), RECIPE, items)
    return table.to_pyarrow().sort_by("visit").to_pydict()


def test_columns_that_lack_come_from_the_item_table():
    rows = completed(pa.table({"visit": [1, 2, 3], "sku": ["9", "7", "8"], "brand": ["own", "own", None]}))
    assert rows["kind"] == ["shoe", "hat", None] and rows["cost"] == [None, 1.5, None]
    assert rows["brand"] == ["own", "own", None]
    assert all(time.year == 2000 for time in rows["when"])


def test_without_an_item_table_they_are_empty():
    rows = completed(pa.table({"visit": [1], "sku": [9]}), items=None)
    assert rows["kind"] == rows["cost"] == rows["brand"] == [None]


@pytest.mark.parametrize(("column", "setting"), [("sku", "item_column"), ("visit", "session_column")])
def test_ids_cannot_be_missing(column, setting):
    raw = pa.table({"visit": [1], "sku": [9]}).drop_columns([column])
    with pytest.raises(InputError, match=f"no column '{column}', the `{setting}`"):
        completed(raw)
