import numpy as np
import pyarrow as pa
import pytest

from transformers4recsys.recommender.item_ids import ItemIds, as_number, as_text


def vocabulary(raw, ids):
    return pa.table({"raw": raw, "id": pa.array(ids, pa.int64())})


def test_text_ids_go_both_ways():
    items = ItemIds.from_vocabulary(vocabulary(["b", "7", "a"], [2, 1, 4]), num_items=6)
    assert items.to_ids(["a", "b", 7, "7", "c", None, 2.0, np.int64(7), True]) == [4, 2, 1, 1, 0, 0, 0, 1, 0]
    assert items.to_raw(np.array([4, 1, 1])).to_pylist() == ["a", "7", "7"]
    assert items.has_raw_id.tolist() == [False, True, True, False, True, False]


def test_number_ids_may_come_as_text():
    items = ItemIds.from_vocabulary(vocabulary([700, -5], [1, 2]), num_items=3)
    assert items.to_ids(["700", 700, "-5", "x", 700.0, "7" * 30, 2**70]) == [1, 1, 2, 0, 0, 0, 0]


def test_many_lists_are_looked_up_at_once():
    items = ItemIds.from_vocabulary(vocabulary(["b", "7", "a"], [2, 1, 4]), num_items=6)
    lists = [["a", "c"], [], iter([7, "b"]), {"a"}, []]
    assert items.to_lists(lists) == [[4, 0], [], [1, 2], [4], []] and items.to_lists([]) == []


def test_items_that_the_model_is_too_small_for_are_unknown():
    items = ItemIds.from_vocabulary(vocabulary(["a", "b"], [1, 2]), num_items=2)
    assert items.to_ids(["a", "b"]) == [1, 0]


def test_without_a_vocabulary_ids_are_their_own_raw_ids():
    items = ItemIds.from_vocabulary(None, num_items=4)
    assert items.to_ids([3, "2", 0, 4]) == [3, 2, 0, 0] and items.raw.to_pylist() == [1, 2, 3]


@pytest.mark.parametrize(("value", "text", "number"), [("007", "007", 7), (7, "7", 7), (7.0, None, None)])
def test_spellings(value, text, number):
    assert as_text(value) == text and as_number(value) == number
