"""Ranks and metrics against hand-computed cases and a plain sort-based twin."""

import math
from itertools import permutations

import pytest
import torch

from transformers4recsys.metrics import ranking
from transformers4recsys.metrics.ranking import (
    METRICS,
    UNRANKED,
    PopularityRanks,
    Ranks,
    cumulative_metrics,
    expected_metrics,
    rank_bounds,
)

NAN, INF = float("nan"), float("inf")
CUTOFFS = (1, 3, 5, 20)
# A metric that is added brings a test of its own; the others are held here.
WITH_PLAIN_TWIN = ("ndcg", "recall", "precision", "avg_precision", "mrr")


def plain_ranks(scores: list[float], label: int) -> list[int]:
    """All ranks, from 1, that the label takes when its ties are ordered in any way: by sorting, item by item."""
    items = sorted(((score, item) for item, score in enumerate(scores) if item != 0), reverse=True)
    return [rank for rank, (score, _) in enumerate(items, start=1) if score == scores[label]]


def plain_metric(name: str, rank: int, k: int) -> float:
    """The metric of a recommended list of k items with the one relevant item at `rank`, from its definition."""
    relevance = [1 if position == rank else 0 for position in range(1, k + 1)]
    precisions = [sum(relevance[: i + 1]) / (i + 1) for i in range(k)]
    return {
        "recall": sum(relevance),
        "precision": sum(relevance) / k,
        "mrr": max([r / (i + 1) for i, r in enumerate(relevance)]),
        "avg_precision": sum(p * r for p, r in zip(precisions, relevance, strict=True)),
        "ndcg": sum(r / math.log2(i + 2) for i, r in enumerate(relevance)),
    }[name]


def metrics_of(ranks: Ranks, cutoffs=CUTOFFS, is_miss=None) -> dict[str, list[float]]:
    names = [f"{name}@{k}" for name in METRICS for k in cutoffs]
    values = expected_metrics(cumulative_metrics(tuple(METRICS), cutoffs, "cpu"), ranks, is_miss)
    return dict(zip(names, values.T.tolist(), strict=True))


def test_the_metrics_of_a_rank_by_hand():
    ranks = Ranks(torch.tensor([0, 2, 5]), torch.tensor([0, 0, 0]))
    metrics = metrics_of(ranks)
    assert metrics["recall@3"] == pytest.approx([1, 1, 0])
    assert metrics["precision@5"] == pytest.approx([0.2, 0.2, 0])
    assert metrics["mrr@20"] == pytest.approx([1, 1 / 3, 1 / 6])
    assert metrics["avg_precision@5"] == pytest.approx([1, 1 / 3, 0])
    assert metrics["ndcg@5"] == pytest.approx([1, 0.5, 0])
    assert metrics["ndcg@20"] == pytest.approx([1, 0.5, 0.3562071871080222])


def test_metrics_are_what_their_definitions_say():
    for name in WITH_PLAIN_TWIN:
        for k in (1, 2, 5):
            values = METRICS[name](torch.arange(1, 9), k).tolist()
            assert values == pytest.approx([plain_metric(name, rank, k) for rank in range(1, 9)])


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_a_number_a_rank_and_0_beyond_the_cutoff(name):
    for k in (1, 2, 5):
        values = METRICS[name](torch.arange(1, 9), k)
        assert values.shape == (8,) and values.isfinite().all()
        assert values[0] > 0 and not values[k:].any()


def test_ranks_by_hand():
    scores = torch.tensor([[9.0, 0.5, 2.0, 2.0, 7.0], [9.0, 1.0, 1.0, 1.0, 1.0], [0.0, 4.0, 3.0, 2.0, 1.0]])
    ranks = rank_bounds(scores, torch.tensor([3, 2, 1]))
    assert ranks.num_above.tolist() == [1, 0, 0]
    assert ranks.num_tied.tolist() == [1, 3, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("levels", [3, 1000])
def test_ranks_and_metrics_agree_with_sorting(dtype, levels):
    generator = torch.Generator().manual_seed(levels)
    scores = (torch.randint(0, levels, (40, 31), generator=generator) / 7 - 2).to(dtype)
    labels = torch.randint(1, 31, (40,), generator=generator)
    ranks = rank_bounds(scores, labels)
    metrics = metrics_of(ranks)
    for row in range(40):
        possible = plain_ranks(scores[row].tolist(), int(labels[row]))
        assert (ranks.num_above[row] + 1, ranks.num_tied[row] + 1) == (possible[0], len(possible))
        for name in WITH_PLAIN_TWIN:
            for k in CUTOFFS:
                mean = sum(plain_metric(name, rank, k) for rank in possible) / len(possible)
                assert metrics[f"{name}@{k}"][row] == pytest.approx(mean, abs=1e-12)


def test_a_tie_counts_as_the_mean_over_all_orders_of_the_tied_items():
    scores = [0.0, 3.0, 2.0, 2.0, 2.0, 1.0]
    ranks = [([1, *order, 5].index(3) + 1) for order in permutations([2, 3, 4])]
    metrics = metrics_of(rank_bounds(torch.tensor([scores]), torch.tensor([3])))
    for name in WITH_PLAIN_TWIN:
        for k in CUTOFFS:
            mean = sum(plain_metric(name, rank, k) for rank in ranks) / len(ranks)
            assert metrics[f"{name}@{k}"][0] == pytest.approx(mean)


def test_a_constant_scorer_gets_the_recall_of_chance():
    ranks = rank_bounds(torch.zeros(2, 51), torch.tensor([1, 50]))
    for k in CUTOFFS:
        assert metrics_of(ranks)[f"recall@{k}"] == [k / 50, k / 50]
    assert metrics_of(ranks, cutoffs=(100,))["recall@100"] == [1, 1]


def test_padding_never_counts_whatever_its_score():
    for padding in (-INF, 0.0, 5.0, INF, NAN):
        scores = torch.tensor([[padding, 5.0, 4.0, 3.0]])
        ranks = rank_bounds(scores, torch.tensor([2]))
        assert (ranks.num_above.tolist(), ranks.num_tied.tolist()) == ([1], [0])


def test_a_nan_never_looks_like_a_good_rank():
    scores = torch.tensor([[0.0, NAN, 1.0, 2.0], [0.0, NAN, 1.0, NAN], [NAN, NAN, NAN, NAN]])
    ranks = rank_bounds(scores, torch.tensor([1, 2, 3]))
    assert ranks.num_above.tolist() == [UNRANKED, 2, UNRANKED]
    # Even where the cut-off is beyond the catalogue, a label without a score is a miss.
    assert metrics_of(ranks, cutoffs=(100,))["recall@100"] == [0, 1, 0]


def test_infinite_scores_are_ordered_and_tie():
    ranks = rank_bounds(torch.tensor([[0.0, INF, INF, -INF, -INF]]).repeat(2, 1), torch.tensor([1, 3]))
    assert ranks.num_above.tolist() == [0, 2]
    assert ranks.num_tied.tolist() == [1, 1]


def test_a_miss_counts_zero_at_any_rank():
    metrics = metrics_of(Ranks(torch.zeros(2).long(), torch.zeros(2).long()), is_miss=torch.tensor([True, False]))
    assert all(values == pytest.approx([0, values[1]]) and values[1] > 0 for values in metrics.values())


def test_chunks_of_rows_change_nothing(monkeypatch):
    scores = torch.randint(0, 9, (23, 17)).float()
    labels = torch.randint(1, 17, (23,))
    whole = rank_bounds(scores, labels)
    monkeypatch.setattr(ranking, "COMPARED_AT_A_TIME_ON_CPU", 17 * 4)
    parts = rank_bounds(scores, labels)
    assert torch.equal(whole.num_above, parts.num_above)
    assert torch.equal(whole.num_tied, parts.num_tied)


def test_no_predictions_at_all():
    ranks = rank_bounds(torch.zeros(0, 10), torch.zeros(0, dtype=torch.long))
    assert ranks.num_above.shape == ranks.num_tied.shape == (0,)
    assert metrics_of(ranks)["recall@5"] == []


def test_popularity_by_hand():
    ranks = PopularityRanks(torch.tensor([99, 5, 0, 7, 5, 0, 0])).of(torch.arange(7))
    assert ranks.num_above.tolist() == [UNRANKED, 1, 3, 0, 1, 3, 3]
    assert ranks.num_tied.tolist() == [0, 1, 2, 0, 1, 2, 2]


def test_popularity_ranks_are_those_of_the_counts_as_scores():
    counts = torch.randint(0, 6, (40,), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(1, 40)
    expected = rank_bounds(counts.float().repeat(39, 1), labels)
    found = PopularityRanks(counts).of(labels)
    assert torch.equal(found.num_above, expected.num_above)
    assert torch.equal(found.num_tied, expected.num_tied)
