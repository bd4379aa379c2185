"""Metrics beyond those of all targets alike, by name: some targets, targets by weight, and what the lists hold.

Letters as everywhere; `K` is the length of the longest list, `Q` the cut-offs of lists, `W` the width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from transformers4recsys.batch import exact_device
from transformers4recsys.distributed import sum_over_ranks
from transformers4recsys.metrics.diversity import IN_LISTS, distances, mean_distances
from transformers4recsys.metrics.ranking import PopularityRanks, Ranks
from transformers4recsys.metrics.streaming import StreamingMean, StreamingMetrics

LIST_CUTOFFS = (10, 20)
NAMES_OF_SOME, CUTOFFS_OF_SOME = ("ndcg", "recall", "mrr"), (10, 20)


@dataclass(frozen=True)
class RankedTargets:
    """P targets: their ranks, which of them are misses, the labels, and how many items of the session come before."""

    ranks: Ranks
    is_miss: Tensor
    labels: Tensor
    num_before: Tensor


@dataclass(frozen=True)
class KnownItems:
    """What is known of each item: how often it was clicked in training, (V,), and in how many sessions, (V,).

    Of `session_counts_V` the first one, of padding, is the number of all sessions. `categories` (V,) are of columns by
    name, 0 where unknown; `vectors` (V, W) are 0 where there is none.
    """

    counts_V: Tensor
    session_counts_V: Tensor
    categories: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    vectors_VW: Tensor | None = None

    @cached_property
    def parts_V(self) -> Tensor:
        """In which part of the clicks each item lies, (V,)."""
        return parts_of_clicks(self.counts_V)


# Which targets are counted, or by what weight: (targets, items) -> (P,). Each gives the means a name of its own.
Choice = Callable[[RankedTargets, KnownItems], Tensor]


def parts_of_clicks(counts_V: Tensor) -> Tensor:
    """Part the items, the most popular ones first, so that each part has a third of the clicks: 0, 1 or 2, (V,)."""
    order_V = counts_V.argsort(descending=True, stable=True)
    before_V = counts_V[order_V].cumsum(0) - counts_V[order_V]
    parts_V = torch.empty_like(counts_V)
    parts_V[order_V] = (3 * before_V // counts_V.sum().clamp(min=1)).clamp(max=2)
    return parts_V


SOME_TARGETS: Mapping[str, Mapping[str, Choice]] = {
    "debiased": {"debiased": lambda targets, items: 1 / items.counts_V[targets.labels].clamp(min=1)},
    "by_length": {
        "length_1": lambda targets, _: targets.num_before == 1,
        "length_2_to_4": lambda targets, _: (targets.num_before >= 2) & (targets.num_before <= 4),
        "length_5_up": lambda targets, _: targets.num_before >= 5,
    },
    "by_popularity": {
        "head": lambda targets, items: items.parts_V[targets.labels] == 0,
        "middle": lambda targets, items: items.parts_V[targets.labels] == 1,
        "tail": lambda targets, items: items.parts_V[targets.labels] == 2,
    },
}


def coverage(listed_V: Tensor, items: KnownItems) -> Tensor:
    """Share of all items that stand in a list (Herlocker 2004)."""
    return (listed_V[1:] > 0).double().mean()


def gini(listed_V: Tensor, items: KnownItems) -> Tensor:
    """Inequality of how often items are listed: 0 where all are alike, near 1 where few have it all (Gini 1912)."""
    sorted_V = listed_V[1:].double().sort().values
    number_V = torch.arange(1, len(sorted_V) + 1, device=sorted_V.device, dtype=torch.float64)
    return ((2 * number_V - len(sorted_V) - 1) * sorted_V).sum() / (len(sorted_V) * sorted_V.sum())


def average_popularity(listed_V: Tensor, items: KnownItems) -> Tensor:
    """Mean share of all training clicks that a listed item has (Yin 2012)."""
    return (listed_V * (items.counts_V / items.counts_V.sum().clamp(min=1)).double()).sum() / listed_V.sum()


def surprisal(listed_V: Tensor, items: KnownItems) -> Tensor:
    """Mean bits that a click on a listed item tells, -log2 of its share of clicks, of one at least (Zhou 2010)."""
    return _mean_bits(listed_V, items.counts_V, items.counts_V.sum())


def novelty(listed_V: Tensor, items: KnownItems) -> Tensor:
    """Mean inverse user frequency: -log2 of the share of sessions with a listed item, one at least (Castells 2011)."""
    return _mean_bits(listed_V, items.session_counts_V, items.session_counts_V[0])


def _mean_bits(listed_V: Tensor, counts_V: Tensor, total: Tensor) -> Tensor:
    bits_V = total.clamp(min=1).double().log2() - counts_V.clamp(min=1).double().log2()
    return (listed_V * bits_V).sum() / listed_V.sum()


# Functions of how often each item is listed, (V,), padding never, and of what is known of it.
OF_LISTS: Mapping[str, Callable[[Tensor, KnownItems], Tensor]] = {
    "coverage": coverage,
    "gini": gini,
    "average_popularity": average_popularity,
    "surprisal": surprisal,
    "novelty": novelty,
}
HIT_RATE_1, SERENDIPITY = "hit_rate_1", "serendipity"
METRICS_BY_NAME = (HIT_RATE_1, SERENDIPITY, *OF_LISTS, *IN_LISTS, *SOME_TARGETS)


class MetricsByName:
    """Sums what `names` ask for over all targets; of lists it keeps how often each item stands in them, (Q, V)."""

    def __init__(self, names: Sequence[str], items: KnownItems, device: torch.device | str = "cpu"):
        self._items = items
        self._choices = {key: choice for name in names for key, choice in SOME_TARGETS.get(name, {}).items()}
        self._some = {
            key: StreamingMetrics(device, names=NAMES_OF_SOME, cutoffs=CUTOFFS_OF_SOME) for key in self._choices
        }
        first = StreamingMetrics(device, names=("recall",), cutoffs=(1,))
        self._first = first if HIT_RATE_1 in names else None
        self._serendipity = _Serendipity(items.counts_V, device) if SERENDIPITY in names else None
        self._of_lists = [name for name in names if name in OF_LISTS]
        num_lists = len(LIST_CUTOFFS) if self._of_lists else 0
        self._listed_QV = torch.zeros(num_lists, len(items.counts_V), dtype=torch.long, device=items.counts_V.device)
        self._in_lists = distances(names, categories=items.categories, vectors_VW=items.vectors_VW)
        self._means = {(name, k): StreamingMean(device) for name in self._in_lists for k in LIST_CUTOFFS}

    def update(self, targets: RankedTargets, best: Callable[[int], tuple[Tensor, Tensor]]) -> None:
        """Add P targets; `best(k)` makes their lists, (P, K), and scores, which is done where a metric needs them."""
        for key, choice in self._choices.items():
            weight_P = choice(targets, self._items)
            self._some[key].update(targets.ranks, targets.is_miss, is_counted_P=weight_P)
        if self._first:
            self._first.update(targets.ranks, targets.is_miss)
        if self._serendipity:
            self._serendipity.update(targets)
        if self._of_lists or self._in_lists:
            items_PK, _ = best(min(max(LIST_CUTOFFS), len(self._items.counts_V) - 1))
            items_PK = items_PK.to(self._listed_QV.device)
            for listed_V, k in zip(self._listed_QV, LIST_CUTOFFS, strict=False):
                items_X = items_PK[:, :k].flatten()
                listed_V.index_add_(0, items_X, torch.ones_like(items_X))
            for (name, k), mean in self._means.items():
                mean.update(mean_distances(items_PK[:, :k], self._in_lists[name]))

    def result(self) -> dict[str, float | None]:
        """Give the numbers over all processes by name, None where there is no target; all processes call it."""
        numbers = {f"{key}_{name}": value for key, of in self._some.items() for name, value in of.result().items()}
        if self._first:
            numbers |= self._first.result()
        if self._serendipity:
            numbers |= self._serendipity.result()
        if self._of_lists:
            listed_QV = sum_over_ranks(self._listed_QV)
            for name in self._of_lists:
                for listed_V, k in zip(listed_QV, LIST_CUTOFFS, strict=True):
                    value = OF_LISTS[name](listed_V, self._items)
                    numbers[f"{name}@{k}"] = float(value) if bool(listed_V.any()) else None
        return numbers | {f"{name}@{k}": mean.result() for (name, k), mean in self._means.items()}


class _Serendipity:
    """Hits on labels that the list of the most popular items of the same length does not have (Ge 2010)."""

    def __init__(self, counts_V: Tensor, device: torch.device | str):
        self._hits = StreamingMetrics(device, names=("recall",), cutoffs=LIST_CUTOFFS)
        self._popularity = PopularityRanks(counts_V)
        self._sums_Q = torch.zeros(len(LIST_CUTOFFS), dtype=torch.float64, device=exact_device(device))

    def update(self, targets: RankedTargets) -> None:
        own = self._hits.per_target(targets.ranks, targets.is_miss)
        popular = self._hits.per_target(self._popularity.of(targets.labels))
        self._hits.update(targets.ranks, targets.is_miss)
        self._sums_Q += torch.stack([(own[key] * (1 - popular[key])).sum() for key in own]).to(self._sums_Q)

    def result(self) -> dict[str, float | None]:
        count, sums_Q = self._hits.num_targets(), sum_over_ranks(self._sums_Q)
        return {
            f"{SERENDIPITY}@{k}": float(total) / count if count else None
            for k, total in zip(LIST_CUTOFFS, sums_Q, strict=True)
        }
