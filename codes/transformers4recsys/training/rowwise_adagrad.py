"""Adagrad with one number of state a row, for item tables whose two moments of AdamW would not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowwiseAdagrad(torch.optim.AdamW):
    """AdamW, but for weights with sparse gradients: of these, row-wise Adagrad moves the rows that a step read.

    A row's step is divided by the root of `sum`, (V, 1), which adds up the mean squares of its gradients (Mudigere
    2022, row-wise sparse AdaGrad), so a row that is not read would stand still under whole gradients as well. Weight
    decay, decoupled as in AdamW, shrinks rows that are read. Rows move at `rate_ratio` times the learning rate.
    """

    def __init__(self, weights: Iterable[nn.Parameter], *, rate_ratio: float, **settings: Any):
        super().__init__(weights, **settings)
        self.rate_ratio = rate_ratio

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.grad.is_sparse:
                    state = self.state[weight]
                    if not state:
                        # AdamW looks for steps in the state of every weight.
                        state["step"], state["sum"] = torch.zeros(()), weight.new_zeros(len(weight), 1)
                    state["step"] += 1
                    self._move_rows(weight, weight.grad.coalesce(), state["sum"], group)
                    weight.grad = None
        return super().step(closure)  # pyright: ignore[reportArgumentType]

    def _move_rows(self, weight: Tensor, gradient: Tensor, sum_V1: Tensor, group: dict[str, Any]) -> None:
        rows_N, values_NE = gradient.indices()[0], gradient.values()
        rate = float(group["lr"]) * self.rate_ratio
        sum_N1 = sum_V1[rows_N] + values_NE.square().mean(dim=1, keepdim=True)
        sum_V1[rows_N] = sum_N1
        moved_NE = weight[rows_N].mul_(1 - rate * group["weight_decay"])
        weight[rows_N] = moved_NE.addcdiv_(values_NE, sum_N1.sqrt_().add_(group["eps"]), value=-rate)
