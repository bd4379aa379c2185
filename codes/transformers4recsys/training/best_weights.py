"""The best weights of a day: kept by the metric of its validations, and put back when the day ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from transformers4recsys.metrics.ranking import METRICS
from transformers4recsys.metrics.streaming import CUTOFFS

BEST_METRICS = tuple(f"{name}@{k}" for name in METRICS for k in CUTOFFS)


class BestWeights:
    """Keeps the weights whose `metric` is largest, until `patience` validations in a row were no better.

    With a patience of 0 nothing is kept, and nothing is ever exhausted.
    """

    def __init__(self, metric: str = "ndcg@20", patience: int = 0):
        self.metric, self.patience = metric, patience
        self.value: float | None = None
        self.epoch: float | None = None
        self.num_no_better = 0
        self.weights: dict[str, Tensor] = {}

    @property
    def is_exhausted(self) -> bool:
        return 0 < self.patience <= self.num_no_better

    def see(self, value: float | None, *, epoch: float, model: nn.Module) -> None:
        """Take note of a validation; one without a target says nothing."""
        if not self.patience or value is None:
            return
        if self.value is not None and value <= self.value:
            self.num_no_better += 1
            return
        self.value, self.epoch, self.num_no_better = value, epoch, 0
        self.weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}

    def restore(self, model: nn.Module) -> None:
        """Put the best weights into the model, if there are any; the counts of items are those of the day anyway."""
        if self.weights:
            model.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        """Give all but the weights, for JSON."""
        return {"value": self.value, "epoch": self.epoch, "num_no_better": self.num_no_better}

    def load(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave, with the weights of then."""
        self.value, self.epoch, self.num_no_better = state["value"], state["epoch"], state["num_no_better"]
        self.weights = dict(weights)
