from transformers4recsys.serving.item_search import ItemSearch


def test_better_matches_come_first_whatever_their_case():
    search = ItemSearch({"b red": "", "RED": "hat", "red": "", "s1": "Red", "s0": "red shoe", "s2": "a coat"})

    assert search.find("red", 9) == ["red", "RED", "s1", "s0", "b red"]
    assert search.find("RED", 1) == ["RED"]
    assert search.find("nothing", 9) == []


def test_whole_numbers_are_found_by_their_digits_and_keep_their_type():
    search = ItemSearch({2**60 + 1: "", 7: "", None: "", 70: "", 17: "7 nails"})

    assert search.find("7", 9) == [7, 17, 70, 2**60 + 1]
    assert search.find(str(2**60 + 1), 1) == [2**60 + 1]
    assert search.find("70", 2) == [70]


def test_a_catalogue_may_be_empty():
    assert ItemSearch({}).find("a", 3) == []
