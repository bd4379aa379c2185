"""AdamW for large item tables: a row is moved only at steps whose batch read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


class SparseAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019) that updates weights with sparse gradients row by row.

    A row that no batch reads keeps its value and its moments, as in PyTorch's SparseAdam: no momentum moves it on, no
    weight decay shrinks it. As there, steps are counted by table: a row's first one is up to three times as long. All
    other weights are updated as AdamW does.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.grad.is_sparse:
                    self._move_rows(weight, weight.grad.coalesce(), group)
                    weight.grad = None
        return super().step(closure)  # pyright: ignore[reportArgumentType]

    def _move_rows(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[weight], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        step, rows, values = float(state["step"]), gradient.indices()[0], gradient.values()
        mean = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        root = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        moved = weight[rows].mul_(1 - group["lr"] * group["weight_decay"])
        weight[rows] = moved.addcdiv_(mean, root, value=-float(group["lr"]) / (1 - beta1**step))


def clip_gradients(weights: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Clip the norm of all gradients together, sparse ones too; give the norm as it was."""
    values = []
    for weight in weights:
        if weight.grad is not None and weight.grad.is_sparse:
            weight.grad = weight.grad.coalesce()
            values.append(weight.grad.values())
        elif weight.grad is not None:
            values.append(weight.grad)
    total_norm = get_total_norm(values)
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    for each in values:
        each.mul_(factor)
    return total_norm
