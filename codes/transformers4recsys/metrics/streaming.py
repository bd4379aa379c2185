"""Exact means over all targets of a day, batch by batch and over all processes, without a sync a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transformers4recsys.batch import exact_device
from transformers4recsys.distributed import sum_over_ranks
from transformers4recsys.metrics.ranking import METRICS, Ranks, cumulative_metrics, expected_metrics

CUTOFFS = (5, 10, 20, 100, 1000)


class StreamingMetrics:
    """Sums each metric at each cut-off over the targets; `keys` names them, such as "ndcg@5"."""

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        names: Sequence[str] = tuple(METRICS),
        cutoffs: Sequence[int] = CUTOFFS,
    ):
        self.keys = tuple(f"{name}@{k}" for name in names for k in cutoffs)
        self._cumulative_RM = cumulative_metrics(names, cutoffs, exact_device(device))
        self._sums_M = torch.zeros_like(self._cumulative_RM[0])
        self._count_1 = torch.zeros_like(self._sums_M[:1])

    def update(self, ranks: Ranks, is_miss_P: Tensor | None = None, *, is_counted_P: Tensor | None = None) -> None:
        """Add P targets, or `is_counted_P` of them; those with `is_miss_P` count with 0, whatever their rank."""
        values_PM = self._values(ranks, is_miss_P)
        if is_counted_P is None:
            self._sums_M += values_PM.sum(0)
            self._count_1 += len(values_PM)
        else:
            counted_P = is_counted_P.to(values_PM)
            self._sums_M += counted_P @ values_PM
            self._count_1 += counted_P.sum()

    def per_target(self, ranks: Ranks, is_miss_P: Tensor | None = None) -> dict[str, Tensor]:
        """Give the metrics of P targets, (P,) float64 each, without adding them."""
        return dict(zip(self.keys, self._values(ranks, is_miss_P).unbind(1), strict=True))

    def result(self) -> dict[str, float | None]:
        """Mean of each metric over the targets of all processes, None where there was none; all processes call it."""
        *sums, count = _numbers(sum_over_ranks(torch.cat([self._sums_M, self._count_1])))
        return {key: total / count if count else None for key, total in zip(self.keys, sums, strict=True)}

    def num_targets(self) -> int:
        """Number of targets of all processes; all processes call it."""
        return int(sum_over_ranks(self._count_1))

    def _values(self, ranks: Ranks, is_miss_P: Tensor | None) -> Tensor:
        device = self._cumulative_RM.device
        ranks = Ranks(ranks.num_above.to(device), ranks.num_tied.to(device))
        return expected_metrics(self._cumulative_RM, ranks, None if is_miss_P is None else is_miss_P.to(device))


class StreamingMean:
    """Weighted mean of a number over all batches and processes, such as a loss or a share."""

    def __init__(self, device: torch.device | str = "cpu"):
        self._sum = torch.zeros((), dtype=torch.float64, device=exact_device(device))
        self._weight = 0.0

    def update(self, values: Tensor, weight: float = 1.0) -> None:
        """Add values of any shape, `weight` each: a batch's mean loss weighs as many as its targets."""
        if values.numel() and weight:
            self._sum += values.to(self._sum).sum() * weight
            self._weight += values.numel() * weight

    def result(self) -> float | None:
        """Mean over all processes, None where nothing was added; all processes call it."""
        total, weight = _numbers(sum_over_ranks(torch.stack([self._sum, torch.full_like(self._sum, self._weight)])))
        return total / weight if weight else None


def _numbers(values: Tensor) -> list[float]:
    return values.cpu().numpy().tolist()
