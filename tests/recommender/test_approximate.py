import numpy as np
import pytest
import torch

from transformers4recsys.recommender.approximate import CHOSEN, ApproximateIndex, Graph
from transformers4recsys.recommender.filters import Filters, ItemLists
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.lists import ListMaker

pytest.importorskip("usearch", reason="the extra `index` is not installed")


def test_the_largest_products_are_found_whatever_the_lengths():
    table = torch.tensor([[9.0, 9], [1, 0], [0, 1], [5, 5], [-4, 1]])
    bias = torch.tensor([-torch.inf, 0, 6, 0, 0])
    index = ApproximateIndex(table, bias)

    assert index.find(torch.tensor([[1.0, 1], [-1, 0]]), 2).sort().values.tolist() == [[2, 3], [2, 4]]
    assert index.find(torch.tensor([[1.0, 0]]), 9).sort().values.tolist() == [[1, 2, 3, 4]]
    assert ApproximateIndex(table, torch.full((5,), -torch.inf)).find(table, 3).shape == (5, 0)


def test_an_index_finds_what_exact_lists_hold():
    generator = torch.Generator().manual_seed(1)
    many = ItemIds.from_vocabulary(None, num_items=3_000)
    table, bias = torch.randn(3_000, 8, generator=generator), torch.randn(3_000, generator=generator)
    bias[0] = -torch.inf
    hidden = torch.randn(70, 8, generator=generator)
    maker = ListMaker(table, bias, many, torch.ones(3_000, dtype=torch.long))
    best = maker.of_hidden(hidden, range(70), [()] * 70, Filters(3)).items.tolist()
    filters = Filters(10, exclude=ItemLists(None, {number: row for number, row in enumerate(best)}))
    exact = maker.of_hidden(hidden, range(70), [()] * 70, filters)

    assert len(maker.use_index()) == 2_999
    found = maker.of_hidden(hidden, range(70), [()] * 70, filters)

    common = [set(row) & set(other) for row, other in zip(found.items.tolist(), exact.items.tolist(), strict=True)]
    # 693 to 700, by the processor's rounding.
    assert sum(map(len, common)) > 0.98 * 700
    assert not any(set(row) & set(excluded) for row, excluded in zip(found.items.tolist(), best, strict=True))
    scores = (hidden @ table.T + bias).numpy()
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, found.items, 1), rtol=1e-5, atol=1e-5)


def test_a_graph_that_is_searched_less_finds_less():
    generator = torch.Generator().manual_seed(1)
    table, hidden = torch.randn(3_000, 8, generator=generator), torch.randn(70, 8, generator=generator)
    best = (hidden @ table.T).topk(10, dim=1).indices

    def found(graph: Graph) -> int:
        ids = ApproximateIndex(table, torch.zeros(3_000), graph).find(hidden, 10)
        return sum(len({*row} & {*exact}) for row, exact in zip(ids.tolist(), best.tolist(), strict=True))

    assert found(Graph(connectivity=2, expansion_add=2, expansion_search=2)) < 100 < 650 < found(CHOSEN) <= 700
