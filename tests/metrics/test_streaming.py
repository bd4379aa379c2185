"""Means over batches are means over all targets, however the rows are collated."""

import math

import pytest
import torch

from transformers4recsys.metrics.ranking import METRICS, Ranks
from transformers4recsys.metrics.streaming import CUTOFFS, StreamingMean, StreamingMetrics

DOCUMENTED_NAMES = ("ndcg", "recall", "precision", "avg_precision", "mrr")
DOCUMENTED_CUTOFFS = (5, 10, 20, 100, 1000)


def ranks(above: list[int], tied: list[int] | None = None) -> Ranks:
    above_P = torch.tensor(above, dtype=torch.long)
    return Ranks(above_P, torch.zeros_like(above_P) if tied is None else torch.tensor(tied))


def test_means_by_hand():
    metrics = StreamingMetrics()
    metrics.update(ranks([0, 1, 30]))
    metrics.update(ranks([3, 7], [2, 0]), torch.tensor([False, True]))
    result = metrics.result()
    # The tied label has the ranks 4, 5 and 6, of which two are among the first five.
    assert result["recall@5"] == pytest.approx((1 + 1 + 0 + 2 / 3 + 0) / 5)
    assert result["precision@5"] == pytest.approx(result["recall@5"] / 5)
    assert result["mrr@10"] == pytest.approx((1 + 1 / 2 + 0 + (1 / 4 + 1 / 5 + 1 / 6) / 3 + 0) / 5)
    assert result["ndcg@100"] == pytest.approx(
        (1 + 1 / math.log2(3) + 1 / math.log2(32) + sum(1 / math.log2(r + 1) for r in (4, 5, 6)) / 3) / 5
    )
    assert metrics.num_targets() == 5


def test_targets_that_are_not_counted_change_nothing():
    some, alone = StreamingMetrics(), StreamingMetrics()
    some.update(ranks([0, 7, 3], [1, 0, 2]), is_counted_P=torch.tensor([True, False, True]))
    some.update(ranks([2]), is_counted_P=torch.tensor([False]))
    alone.update(ranks([0, 3], [1, 2]))
    assert some.result() == pytest.approx(alone.result())
    assert some.num_targets() == 2
    none = StreamingMetrics()
    none.update(ranks([4]), is_counted_P=torch.tensor([False]))
    assert set(none.result().values()) == {None}


def test_names_are_those_of_the_documentation():
    names = StreamingMetrics().result().keys()
    assert names >= {f"{name}@{k}" for name in DOCUMENTED_NAMES for k in DOCUMENTED_CUTOFFS}
    assert names == {f"{name}@{k}" for name in METRICS for k in CUTOFFS}


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_the_batch_size_changes_nothing(batch_size):
    generator = torch.Generator().manual_seed(0)
    above, tied = torch.randint(0, 40, (2, 200), generator=generator)
    is_miss = torch.rand(200, generator=generator) < 0.2
    at_once, in_batches = StreamingMetrics(), StreamingMetrics()
    at_once.update(Ranks(above, tied), is_miss)
    for rows in torch.arange(200).split(batch_size):
        in_batches.update(Ranks(above[rows], tied[rows]), is_miss[rows])
    assert in_batches.result() == pytest.approx(at_once.result(), rel=1e-13)


def test_no_target_gives_none_not_zero():
    metrics, mean = StreamingMetrics(), StreamingMean()
    assert set(metrics.result().values()) == {None}
    metrics.update(ranks([]))
    mean.update(torch.zeros(0))
    assert set(metrics.result().values()) == {None}
    assert metrics.num_targets() == 0
    assert mean.result() is None


def test_values_per_target_are_not_added():
    metrics = StreamingMetrics(names=["mrr", "recall"], cutoffs=[2])
    values = metrics.per_target(ranks([0, 1, 2]), torch.tensor([False, False, False]))
    assert {key: value.tolist() for key, value in values.items()} == {
        "mrr@2": pytest.approx([1, 0.5, 0]),
        "recall@2": pytest.approx([1, 1, 0]),
    }
    assert metrics.num_targets() == 0


def test_a_mean_weighs_each_value():
    mean = StreamingMean()
    mean.update(torch.tensor(2.0), weight=3)
    mean.update(torch.tensor([5.0, 9.0]))
    assert mean.result() == pytest.approx((2 * 3 + 5 + 9) / 5)


def test_a_share_counts_booleans():
    share = StreamingMean()
    share.update(torch.tensor([True, False, False]))
    share.update(torch.tensor([True]))
    assert share.result() == 0.5


def test_a_batch_without_weight_cannot_spoil_the_mean():
    mean = StreamingMean()
    mean.update(torch.tensor(float("nan")), weight=0)
    mean.update(torch.tensor(1.5), weight=2)
    assert mean.result() == 1.5


def test_losses_of_half_precision_are_summed_in_double():
    mean = StreamingMean()
    mean.update(torch.tensor(1.0, dtype=torch.bfloat16), weight=2**25)
    mean.update(torch.tensor(3.0, dtype=torch.bfloat16))
    assert mean.result() == pytest.approx((2**25 + 3) / (2**25 + 1), rel=1e-12)
