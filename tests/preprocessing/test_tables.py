"""Names of kept tables."""

from transformers4recsys.preprocessing.tables import Kept


def test_names_are_different_also_with_what_stands_behind_them():
    behind = ("item_id", "train", 0, 1)
    names = [kept.value for kept in Kept] + [kept.of(name) for kept in Kept for name in behind]
    assert len(names) == len(set(names))


def test_a_table_of_a_column():
    assert Kept.VOCABULARY.of("item_id") == "vocabulary item_id"
