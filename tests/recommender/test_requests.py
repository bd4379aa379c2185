import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.item_inputs import ItemInputs
from transformers4recsys.recommender.requests import lists_of_ids, of_lists
from transformers4recsys.schema import Schema


def test_sessions_without_a_known_item_are_named_and_not_encoded():
    item_ids = ItemIds.from_vocabulary(None, num_items=5)
    schema = Schema.from_entries({"item": {"dtype": "categorical", "cardinality": 5, "is_label": True}})
    lists = lists_of_ids([[3, 99], [98], (1, 2)], item_ids)
    assert lists == [[3, 0], [0], [1, 2]]
    request = of_lists(lists, ItemInputs(schema, item_ids, None))
    assert request.names.to_pylist() == [0, 1, 2] and request.known.tolist() == [0, 2]
    assert request.num_unknown == 2 and request.seen() == [[3], [1, 2]]
    # A model that knows what an unknown item is reads it.
    request = of_lists([*lists, []], ItemInputs(schema, item_ids, None), keeps_unknown=True)
    assert request.known.tolist() == [0, 1, 2] and request.num_unknown == 2
    assert request.sessions.current.values["item"].tolist() == [3, 0, 0, 1, 2] and request.seen() == [[3], [], [1, 2]]


@pytest.mark.parametrize("session", ["sku-7", 7])
def test_a_session_is_a_list(session):
    with pytest.raises(InputError, match="`sessions`: session 1 is"):
        lists_of_ids([[1], session], ItemIds.from_vocabulary(None, num_items=5))
