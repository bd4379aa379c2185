import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.filters import Filters, ItemLists
from transformers4recsys.recommender.item_ids import ItemIds


@pytest.fixture
def items():
    return ItemIds.from_vocabulary(None, num_items=10)


def test_one_list_holds_for_all_sessions(items):
    lists = ItemLists.of([3, 3, 99, 4], items, name="exclude", num_sessions=2)
    assert lists.shared == (3, 4) and lists.num_unknown == 1
    assert [list(each) for each in lists.of_sessions(["x", "y"])] == [[3, 4], [3, 4]]


def test_lists_may_be_given_by_session(items):
    by_number = ItemLists.of([[3, 99], (4,)], items, name="exclude", num_sessions=2)
    assert by_number.of_sessions([1, 0]) == [[4], [3]] and by_number.num_unknown == 1
    by_name = ItemLists.of({"a": [1, 2], "c": [], "b": [3]}, items, name="exclude")
    assert [list(each) for each in by_name.of_sessions(["b", "d", "a", "c"])] == [[3], [], [1, 2], []]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": "12"}, "`exclude`: session a is '12'; give a list of raw item ids"),
        ({0: 5}, "`exclude`: session 0 is 5; give a list"),
        ([["1"], "2"], "`exclude`: session 1 is '2'; give a list"),
        ([["1"], None], "`exclude`: session 1 is None; give a list"),
        (5, "`exclude` 5: give a list of raw item ids, or one list a session"),
    ],
)
def test_what_is_no_list_is_refused(items, given, message):
    with pytest.raises(InputError, match=message):
        ItemLists.of(given, items, name="exclude", num_sessions=2)


def test_lists_by_number_need_numbered_sessions(items):
    with pytest.raises(InputError, match="`candidates`: with events, give one list, or a mapping"):
        ItemLists.of([[1], [2]], items, name="candidates")


def test_what_is_excluded_is_given_and_seen(items):
    exclude = ItemLists.of([7], items, name="exclude")
    assert Filters().excluded(["a"], [[1]]) is None
    assert [list(each) for each in Filters(exclude=exclude).excluded(["a"], [[1]])] == [[7]]
    assert Filters(exclude=exclude, exclude_seen=True).excluded(["a", "b"], [[1], []]) == [[7, 1], [7]]
