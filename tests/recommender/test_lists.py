"""Lists of a catalogue of four items and two spare ids, with scores worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from transformers4recsys.recommender.filters import Filters, ItemLists
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.lists import ListMaker


@pytest.fixture
def items():
    vocabulary = pa.table({"raw": ["a", "b", "c", "d"], "id": [1, 2, 3, 4]})
    return ItemIds.from_vocabulary(vocabulary, num_items=7)


@pytest.fixture
def maker(items):
    table = torch.tensor([[0.0], [1], [4], [2], [3], [9], [9]])
    bias = torch.tensor([-torch.inf, 0, 0, 0, 0, 0, 0])
    return ListMaker(table, bias, items, torch.tensor([0, 5, 0, 3, 2, 0, 0]))


def items_of(lists):
    return [
        [item for item, score in zip(*row, strict=True) if np.isfinite(score)]
        for row in zip(lists.items, lists.scores, strict=True)
    ]


def test_spare_ids_and_padding_are_never_recommended(maker):
    lists = maker.of_hidden(torch.tensor([[1.0], [-1.0]]), [0, 1], [(), ()], Filters(9))
    assert items_of(lists) == [[2, 4, 3, 1], [1, 3, 4, 2]]


@pytest.mark.parametrize("candidates", [["b", "c"], ["b", "c", "b", "z"]])
def test_candidates(candidates, maker, items):
    filters = Filters(9, candidates=ItemLists.of(candidates, items, name="candidates"))
    assert items_of(maker.of_hidden(torch.tensor([[1.0]]), [0], [()], filters)) == [[2, 3]]
    filters = Filters(9, exclude_seen=True, candidates=ItemLists.of(["b"], items, name="candidates"))
    assert items_of(maker.of_hidden(torch.tensor([[1.0]] * 2), [0, 1], [(1,), (2,)], filters)) == [[2], []]


def test_popular_items_were_seen_in_training(maker):
    lists = maker.of_popularity(["x"], Filters(9))
    assert items_of(lists) == [[1, 3, 4]]
    np.testing.assert_allclose(lists.scores[0, :3], [0.5, 0.3, 0.2])


def test_a_table_goes_session_by_session(maker):
    known = maker.of_hidden(torch.tensor([[1.0]]), ["y"], [()], Filters(1))
    popular = maker.of_popularity(["x"], Filters(2))
    table = maker.table(pa.array(["x", "y"]), [(np.array([1]), known, False), (np.array([0]), popular, True)])
    assert table.to_pydict() == {
        "session": ["x", "x", "y"],
        "rank": [1, 2, 1],
        "item": ["a", "c", "b"],
        "score": pytest.approx([0.5, 0.3, 4.0]),
        "is_fallback": [True, True, False],
    }


def test_no_list_gives_an_empty_table(maker):
    assert maker.table(pa.array([], pa.int64()), []).num_rows == 0


def test_candidates_are_scored_one_by_one_beside_an_index(maker, items):
    pytest.importorskip("usearch", reason="the extra `index` is not installed")
    maker.use_index()
    filters = Filters(9, candidates=ItemLists.of(["b", "c"], items, name="candidates"))
    assert items_of(maker.of_hidden(torch.tensor([[1.0]]), [0], [()], filters)) == [[2, 3]]
    assert items_of(maker.of_hidden(torch.tensor([[1.0]]), [0], [()], Filters(9))) == [[2, 4, 3, 1]]
    assert items_of(maker.of_hidden(torch.zeros(0, 1), [], [], Filters(9))) == []
