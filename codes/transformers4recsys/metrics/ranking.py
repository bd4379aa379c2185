"""Ranks of labels among all items, ties included, and the metrics that are functions of a rank.

A letter more than usual: `M` metrics (a name at a cut-off each), `R` ranks from 0, `I` = V - 1 items but padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A rank worse than any cut-off, for labels whose score is not a number.
UNRANKED = torch.iinfo(torch.int32).max

# Comparisons held at a time: what stays in the cache of a CPU core, or 64 MiB elsewhere.
COMPARED_AT_A_TIME_ON_CPU, COMPARED_AT_A_TIME = 2**20, 2**26


@dataclass(frozen=True)
class Ranks:
    """How many items score above each label, and how many others score just the same, (P,) int64 each.

    Of a tie each order is as likely as any other, so the label's rank, from 1, is any of `num_above + 1` ...
    `num_above + 1 + num_tied`: on average half of its ties count.
    """

    num_above: Tensor
    num_tied: Tensor


def rank_bounds(scores_PV: Tensor, labels_P: Tensor) -> Ranks:
    """Rank each label among all items but padding (column 0), by counting, in any float dtype.

    A label whose score is NaN is UNRANKED; another item's NaN counts as above the label.
    """
    at_a_time = COMPARED_AT_A_TIME_ON_CPU if scores_PV.device.type == "cpu" else COMPARED_AT_A_TIME
    num_rows = max(1, at_a_time // scores_PV.shape[1])
    some_rows = zip(torch.split(scores_PV, num_rows), torch.split(labels_P.long(), num_rows), strict=True)
    parts = [_rank_bounds(part_PV, part_P) for part_PV, part_P in some_rows]
    return Ranks(torch.cat([part.num_above for part in parts]), torch.cat([part.num_tied for part in parts]))


class PopularityRanks:
    """The ranks of items by their counts, (V,); items never counted tie at the bottom, padding is UNRANKED."""

    def __init__(self, counts_V: Tensor):
        self._counts_V, self._sorted_I = counts_V, counts_V[1:].sort().values

    def of(self, item_ids_P: Tensor) -> Ranks:
        """Rank some items among all."""
        counts_P, is_padding_P = self._counts_V[item_ids_P], item_ids_P == 0
        num_not_above_P = torch.searchsorted(self._sorted_I, counts_P, right=True)
        num_tied_P = num_not_above_P - torch.searchsorted(self._sorted_I, counts_P) - 1
        return Ranks(
            (len(self._sorted_I) - num_not_above_P).masked_fill(is_padding_P, UNRANKED),
            num_tied_P.masked_fill(is_padding_P, 0),
        )


def hit(ranks_P: Tensor, k: int) -> Tensor:
    """Recall: the one relevant item is among the first k."""
    return (ranks_P <= k).double()


def precision(ranks_P: Tensor, k: int) -> Tensor:
    """Share of the first k that is relevant."""
    return hit(ranks_P, k) / k


def reciprocal_rank(ranks_P: Tensor, k: int) -> Tensor:
    """One over the rank, among the first k; with one relevant item also the average precision."""
    return hit(ranks_P, k) / ranks_P


def ndcg(ranks_P: Tensor, k: int) -> Tensor:
    """Discounted gain of the one relevant item, 1 / log2(1 + rank); the ideal gain is 1 (Jarvelin 2002)."""
    return hit(ranks_P, k) / (1 + ranks_P.double()).log2()


# Functions of ranks from 1, (P,), and a cut-off k; 0 beyond the k-th rank.
METRICS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "ndcg": ndcg,
    "recall": hit,
    "precision": precision,
    "avg_precision": reciprocal_rank,
    "mrr": reciprocal_rank,
}


def cumulative_metrics(names: Sequence[str], cutoffs: Sequence[int], device: torch.device | str) -> Tensor:
    """Sum each metric over the ranks 1 ... r in row r, (R, M) float64; columns run through the cut-offs first."""
    ranks_R = torch.arange(1, max(cutoffs) + 1, device=device)
    values_RM = torch.stack([METRICS[name](ranks_R, k) for name in names for k in cutoffs], dim=1)
    return torch.cat([values_RM.new_zeros(1, values_RM.shape[1]), values_RM.cumsum(0)])


def expected_metrics(cumulative_RM: Tensor, ranks: Ranks, is_miss_P: Tensor | None = None) -> Tensor:
    """Average each metric over all orders of the label's ties, (P, M) float64; 0 where `is_miss_P`."""
    last = len(cumulative_RM) - 1
    size_P = 1 + ranks.num_tied
    from_PM = cumulative_RM[ranks.num_above.clamp(max=last)]
    to_PM = cumulative_RM[(ranks.num_above + size_P).clamp(max=last)]
    values_PM = (to_PM - from_PM) / size_P[:, None]
    return values_PM if is_miss_P is None else values_PM.masked_fill(is_miss_P[:, None], 0)


def _rank_bounds(scores_PV: Tensor, labels_P: Tensor) -> Ranks:
    items_PI = scores_PV[:, 1:]
    label_P1 = scores_PV.gather(1, labels_P[:, None])
    num_not_above_P = (items_PI <= label_P1).sum(1, dtype=torch.int32)
    num_equal_P = (items_PI == label_P1).sum(1, dtype=torch.int32)
    is_nan_P = label_P1.isnan().squeeze(1)
    return Ranks(
        (items_PI.shape[1] - num_not_above_P).long().masked_fill(is_nan_P, UNRANKED),
        (num_equal_P - 1).long().masked_fill(is_nan_P, 0),
    )
