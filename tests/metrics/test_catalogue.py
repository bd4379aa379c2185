"""Ranks and losses by block equal those of all scores at once, ties and values that are no numbers included."""

import pytest
import torch

from transformers4recsys.metrics import catalogue
from transformers4recsys.metrics.catalogue import rank_among_all, score_blocks, top_items
from transformers4recsys.metrics.marked_items import MarkedItems
from transformers4recsys.metrics.ranking import UNRANKED, rank_bounds

NUM_ITEMS, WIDTH = 45, 4


def whole_numbers(num_labels, *, spread=2):
    """Small whole numbers: every sum of products is exact, and ties are many."""
    generator = torch.Generator().manual_seed(num_labels)
    draw = lambda *shape: torch.randint(-spread, spread + 1, shape, generator=generator).float()  # noqa: E731
    bias = draw(NUM_ITEMS)
    bias[0] = -torch.inf
    labels = torch.randint(1, NUM_ITEMS, (num_labels,), generator=generator)
    return draw(num_labels, WIDTH), draw(NUM_ITEMS, WIDTH), bias, labels


def twin(hidden, table, bias, labels):
    scores = torch.nn.functional.linear(hidden, table, bias)
    return rank_bounds(scores, labels), torch.nn.functional.cross_entropy(scores, labels, reduction="none")


@pytest.fixture(params=[(3, 16), (1, 44), (8, 12), (64, 4096)])
def blocks(request, monkeypatch):
    """Rows and items at a time, whole words of eight among them and others."""
    rows, items = request.param
    monkeypatch.setattr(catalogue, "ROWS_AT_A_TIME", rows)
    monkeypatch.setattr(catalogue, "ITEMS_OF_A_BLOCK_ON_CPU", items)


# Scores of some hundreds overflow exp() unless the largest is taken off first.
@pytest.mark.parametrize("spread", [2, 30])
def test_equals_the_plain_twin(spread, blocks):
    given = whole_numbers(20, spread=spread)
    (expected, expected_loss), (found, loss) = twin(*given), rank_among_all(*given)
    assert expected.num_tied.max() > (1 if spread == 2 else -1)
    assert torch.equal(found.num_above, expected.num_above) and torch.equal(found.num_tied, expected.num_tied)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("off", [-1e-3, 0, 1e-3])
def test_a_product_that_rounds_otherwise_changes_no_rank(off, dtype, monkeypatch):
    """The labels' own scores come from a narrow product: let it be off, and find the ranks of the blocks' scores."""
    monkeypatch.setattr(catalogue, "ITEMS_OF_A_BLOCK", 24)
    generator = torch.Generator().manual_seed(1)
    hidden, table = torch.randn(9, WIDTH, generator=generator), torch.randn(NUM_ITEMS, WIDTH, generator=generator)
    bias, labels = torch.randn(NUM_ITEMS, generator=generator), torch.arange(1, 10)
    table[20:29] = table[1:10]
    bias[20:29] = bias[1:10]
    scores_of = catalogue.scores_of
    monkeypatch.setattr(catalogue, "scores_of", lambda h, t, b: scores_of(h, t, b) + (off if len(t) == 9 else 0))
    ranks, loss = rank_among_all(hidden, table.to(dtype), bias, labels)
    product = hidden.to(dtype) @ table.to(dtype).T
    expected = rank_bounds(product.float() + bias, labels)
    assert expected.num_tied.min() >= 1
    assert torch.equal(ranks.num_above, expected.num_above) and torch.equal(ranks.num_tied, expected.num_tied)
    scores = (product.float() + bias)[:, 1:]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(scores, labels - 1, reduction="none"))


@pytest.mark.parametrize("spread", [2, 30])
def test_items_that_are_excluded_are_not_ranked(spread, blocks):
    hidden, table, bias, labels = whole_numbers(20, spread=spread)
    generator = torch.Generator().manual_seed(2)
    lists = [torch.randint(1, NUM_ITEMS, (12,), generator=generator).tolist() for _ in range(20)]
    lists = [[item for item in row if item != label] for row, label in zip(lists, labels.tolist(), strict=True)]
    scores = torch.nn.functional.linear(hidden, table, bias)
    for row, items in enumerate(lists):
        scores[row, items] = -torch.inf
    expected = rank_bounds(scores, labels)
    found, loss = rank_among_all(hidden, table, bias, labels, excluded=MarkedItems.from_lists(lists))
    assert torch.equal(found.num_above, expected.num_above) and torch.equal(found.num_tied, expected.num_tied)
    every, loss_of_all = rank_among_all(hidden, table, bias, labels)
    assert torch.equal(loss, loss_of_all) and (found.num_above < every.num_above).sum() > 10


def test_by_hand():
    table = torch.tensor([[9.0], [1.0], [3.0], [3.0], [2.0]])
    hidden, bias = torch.tensor([[1.0], [-1.0]]), torch.tensor([-torch.inf, 0.0, 0.0, 0.0, 1.0])
    # Row 0 scores 1, 3, 3, 3; row 1 scores -1, -3, -3, -1.
    ranks, loss = rank_among_all(hidden, table, bias, torch.tensor([3, 1]))
    assert ranks.num_above.tolist() == [0, 0] and ranks.num_tied.tolist() == [2, 1]
    e = torch.e
    torch.testing.assert_close(loss, torch.tensor([3 + e**-2, 2 + 2 * e**-2]).log(), rtol=1e-5, atol=1e-5)


def test_a_constant_scorer_ties_with_all(blocks):
    hidden, table, bias, labels = whole_numbers(9)
    ranks, loss = rank_among_all(hidden, torch.full_like(table, 0.1), bias * 0, labels)
    assert ranks.num_above.tolist() == [0] * 9 and ranks.num_tied.tolist() == [NUM_ITEMS - 2] * 9
    torch.testing.assert_close(loss, torch.tensor([NUM_ITEMS - 1.0] * 9).log())


def test_nan_is_never_in_favour(blocks):
    hidden, table, bias, _ = whole_numbers(2)
    table[7] = torch.nan
    ranks, _ = rank_among_all(hidden, table, bias, torch.tensor([7, 3]))
    assert ranks.num_above[0] == UNRANKED and ranks.num_tied[0] == 0
    scores = torch.nn.functional.linear(hidden[1:], table, bias)[0]
    assert ranks.num_above[1] == (scores[1:] > scores[3]).sum() + 1


@pytest.mark.parametrize("k", [1, 5, 100])
def test_the_best_items_are_those_with_the_best_scores(k, blocks):
    hidden, table, bias, _ = whole_numbers(11, spread=30)
    item_ids, scores = top_items(hidden, table, bias, k)
    every = torch.nn.functional.linear(hidden, table, bias)
    assert item_ids.shape == (11, min(k, NUM_ITEMS - 1)) and item_ids.min() > 0
    assert torch.equal(every.gather(1, item_ids), scores)
    assert torch.equal(scores, every.topk(min(k, NUM_ITEMS - 1), dim=1).values)


def test_counts_in_large_blocks():
    table = torch.arange(-1.0, 6000)[:, None] / 1e4
    ranks, _ = rank_among_all(torch.ones(4, 1), table, torch.zeros(6001), torch.tensor([1, 257, 5999, 6000]))
    assert ranks.num_above.tolist() == [5999, 5743, 1, 0] and ranks.num_tied.tolist() == [0] * 4


@pytest.mark.parametrize("largest", [59.0, 79.0])
def test_the_sum_over_many_large_scores_is_finite(largest):
    """The label scores 0, all others so much that the sum of their exp() overflows for the larger one."""
    hidden, table = torch.ones(1, 1), torch.full((20_001, 1), largest)
    table[1] = 0
    ranks, loss = rank_among_all(hidden, table, torch.zeros(20_001), torch.tensor([1]))
    torch.testing.assert_close(loss, largest + torch.tensor([19_999.0]).log(), rtol=1e-4, atol=1e-5)
    assert ranks.num_above == 19_999 and ranks.num_tied == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_counts_are_exact_in_every_precision(dtype):
    """Of 3,000 items, 2,999 score below the label: more than half precision can count."""
    table = torch.zeros(3_001, 1, dtype=dtype)
    table[5] = 1
    ranks, _ = rank_among_all(torch.ones(1, 1), table, torch.zeros(3_001, dtype=dtype), torch.tensor([5]))
    assert ranks.num_above == 0 and ranks.num_tied == 0
    ranks, _ = rank_among_all(torch.ones(1, 1), table, torch.zeros(3_001, dtype=dtype), torch.tensor([6]))
    assert ranks.num_above == 1 and ranks.num_tied == 2_998


def test_scores_are_made_once_where_products_round_alike(monkeypatch):
    passes, compare_all = [], catalogue.compare_all
    monkeypatch.setattr(catalogue, "compare_all", lambda *given: passes.append(given) or compare_all(*given))
    rank_among_all(*whole_numbers(20))
    assert len(passes) == 1


def test_no_label():
    hidden, table, bias, labels = whole_numbers(0)
    ranks, loss = rank_among_all(hidden, table, bias, labels)
    assert len(ranks.num_above) == len(ranks.num_tied) == len(loss) == 0


def test_the_best_items_among_those_allowed_are_those_of_masked_scores(blocks):
    hidden, table, bias, _ = whole_numbers(7)
    generator = torch.Generator().manual_seed(3)
    lists = [torch.randint(1, NUM_ITEMS, (20,), generator=generator).tolist() for _ in range(14)]
    allowed, excluded = MarkedItems.from_lists(lists[:7]), MarkedItems.from_lists(lists[7:])
    scores = torch.nn.functional.linear(hidden, table, bias)
    for row in range(7):
        kept = set(lists[row]) - set(lists[7 + row])
        hidden_items = [item for item in range(NUM_ITEMS) if item not in kept]
        scores[row, hidden_items] = -torch.inf
    items, found = top_items(hidden, table, bias, 9, allowed=allowed, excluded=excluded)
    assert torch.equal(found, scores.topk(9).values)
    assert torch.equal(scores.gather(1, items), found)


@pytest.mark.parametrize(("num_rows", "widths"), [(256, [1024] * 4 + [904]), (128, [2048, 2048, 904]), (1, [5000])])
def test_few_rows_are_scored_in_wider_blocks(num_rows, widths):
    blocks = score_blocks(torch.zeros(num_rows, 1), torch.zeros(5000, 1), torch.zeros(5000))
    assert [block.shape[1] for block in blocks] == widths
