import pytest
import torch

from transformers4recsys.metrics import catalogue
from transformers4recsys.metrics.catalogue import all_scores, rank_among_all, top_items
from transformers4recsys.metrics.marked_items import MarkedItems
from transformers4recsys.metrics.ranking import rank_bounds
from transformers4recsys.outputs import SparseScores

NUM_ITEMS = 12


@pytest.fixture
def dense():
    """Scores of eight rows with many ties: few items have a value of their own, one row has none."""
    generator = torch.Generator().manual_seed(3)
    bias = torch.randint(0, 3, (NUM_ITEMS,), generator=generator).double()
    bias[0] = -torch.inf
    values = torch.randint(-2, 3, (8, NUM_ITEMS), generator=generator).double()
    values[values.abs() < 2] = 0
    values[:, 0] = values[4] = 0
    return bias, values


@pytest.fixture
def sparse(dense):
    rows, items = dense[1].nonzero().unbind(1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(rows, minlength=8).cumsum(0)])
    return SparseScores(items, dense[1][rows, items], offsets)


def test_ranks_are_those_of_all_scores(dense, sparse):
    bias, values = dense
    for label in range(1, NUM_ITEMS):
        labels = torch.full((8,), label)
        ranks, loss = rank_among_all(sparse, None, bias, labels)
        expected = rank_bounds(bias + values, labels)
        assert ranks.num_above.tolist() == expected.num_above.tolist()
        assert ranks.num_tied.tolist() == expected.num_tied.tolist()
        assert loss.numel() == 0
        without = [[item for item in (1, 4, 7, 8) if item != label and (row + item) % 3] for row in range(8)]
        marks = MarkedItems.from_lists(without)
        kept = bias + values
        for row, items in enumerate(without):
            kept[row, items] = -torch.inf
        ranks, _ = rank_among_all(sparse, None, bias, labels, excluded=marks)
        expected = rank_bounds(kept, labels)
        assert ranks.num_above.tolist() == expected.num_above.tolist()
        assert ranks.num_tied.tolist() == expected.num_tied.tolist()


@pytest.mark.parametrize("block", [4, 100])
def test_lists_are_those_of_all_scores(dense, sparse, block, monkeypatch):
    monkeypatch.setattr(catalogue, "ITEMS_OF_A_BLOCK", block)
    monkeypatch.setattr(catalogue, "ROWS_AT_A_TIME", 3)
    bias, values = dense
    assert torch.equal(all_scores(sparse, None, bias), bias + values)
    excluded = [[1, 2], [], [3], [4], [5, 6, 7], [8], [9], [10]]
    items, scores = top_items(sparse, None, bias, 5, excluded=MarkedItems.from_lists(excluded))
    for row, left_out in enumerate(excluded):
        plain = (bias + values)[row].clone()
        plain[left_out] = -torch.inf
        assert scores[row].tolist() == plain.sort(descending=True).values[:5].tolist()
        assert scores[row].tolist() == plain[items[row]].tolist()


@pytest.mark.parametrize("k", [1, 2, 4, NUM_ITEMS - 1])
def test_lists_are_those_of_a_full_sort_lower_ids_first(k):
    generator = torch.Generator().manual_seed(1)
    for num_items in (NUM_ITEMS, 60):
        bias = torch.randint(0, 4, (num_items,), generator=generator).double()
        values = torch.randint(-3, 4, (7, num_items), generator=generator).double()
        values[torch.rand(7, num_items, generator=generator) < 0.8] = values[3] = 0
        values[:, 0] = 0
        rows, items = values.nonzero().unbind(1)
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(rows, minlength=7).cumsum(0)])
        left_out = [[item for item in range(1, 6) if (row + item) % 3 == 0] for row in range(7)]
        scores = SparseScores(items, values[rows, items], offsets)
        for excluded in (None, MarkedItems.from_lists(left_out)):
            found, best = top_items(scores, None, bias, k, excluded=excluded)
            for row in range(7):
                plain = (bias + values[row]).tolist()
                for item in left_out[row] if excluded else []:
                    plain[item] = -float("inf")
                order = sorted(range(1, num_items), key=lambda item, plain=plain: (-plain[item], item))[:k]
                assert found[row].tolist() == order and best[row].tolist() == [plain[item] for item in order]


def test_without_values_all_rows_are_the_biases_in_order():
    items, scores = top_items(SparseScores.of_none(2), None, torch.tensor([9.0, 1, 3, 3]), 3)
    assert items.tolist() == [[2, 3, 1]] * 2 and scores.tolist() == [[3, 3, 1]] * 2


def test_some_rows(sparse):
    some = sparse[3:6]
    assert len(some) == 3 and torch.equal(
        all_scores(some, None, torch.zeros(NUM_ITEMS)), all_scores(sparse, None, torch.zeros(NUM_ITEMS))[3:6]
    )
    assert len(sparse[8:10]) == 0
