"""AdamW for item tables whose gradients hold the rows of a batch alone, and are never made whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim.adamw import adamw

from transformers4recsys.distributed import sum_over_ranks

# Of a table: what a cache holds.
NUMBERS_AT_A_TIME = 2**18


class SparseAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019) that takes sparse gradients, the rest of whose rows are zeros.

    All weights move as under AdamW. With `is_lazy` a row that no batch reads keeps its value and its moments,
    as in PyTorch's SparseAdam: no momentum moves it on, no weight decay shrinks it. As there, steps are counted by
    table: a row's first one is up to three times as long.
    """

    def __init__(self, weights: Iterable[nn.Parameter], *, is_lazy: bool, **settings: Any):
        super().__init__(weights, **settings)
        self.is_lazy = is_lazy

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        move = self._move_rows if self.is_lazy else self._move_all
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.grad.is_sparse:
                    state = self.state[weight]
                    if not state:
                        state["step"] = torch.zeros(())
                        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
                    move(weight, weight.grad.coalesce(), state, group)
                    weight.grad = None
        return super().step(closure)  # pyright: ignore[reportArgumentType]

    def _move_all(self, weight: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """Deal the gradient out to PyTorch's own step, some rows of the table at a time."""
        rows, values = gradient.indices()[0], gradient.values()
        whole = torch.zeros_like(weight[: max(1, NUMBERS_AT_A_TIME // weight.shape[1])])
        beta1, beta2 = group["betas"]
        for start in range(0, len(weight), len(whole)):
            block = slice(start, min(start + len(whole), len(weight)))
            read = slice(*torch.searchsorted(rows, torch.tensor([block.start, block.stop])).tolist())
            whole[rows[read] - start] = values[read]
            adamw(
                [weight[block]],
                [whole[: block.stop - start]],
                [state["exp_avg"][block]],
                [state["exp_avg_sq"][block]],
                [],
                [state["step"].clone()],
                fused=True,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            whole[rows[read] - start] = 0
        state["step"] += 1

    def _move_rows(self, weight: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """Move the rows of the gradient alone."""
        state["step"] += 1
        (beta1, beta2), step = group["betas"], float(state["step"])
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        root = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        moved = weight[rows].mul_(1 - group["lr"] * group["weight_decay"])
        weight[rows] = moved.addcdiv_(mean, root, value=-float(group["lr"]) / (1 - beta1**step))


def clip_gradients(weights: Iterable[nn.Parameter], max_norm: float, *, parts: Iterable[nn.Parameter] = ()) -> Tensor:
    """Clip the norm of all gradients together, sparse ones too; give the norm as it was.

    Of the `parts` among the weights, other processes have other rows: all call it together.
    """
    values, of_parts = [], []
    ids_of_parts = {id(part) for part in parts}
    for weight in weights:
        if weight.grad is not None and weight.grad.is_sparse:
            weight.grad = weight.grad.coalesce()
        if weight.grad is not None:
            found = weight.grad.values() if weight.grad.is_sparse else weight.grad
            (of_parts if id(weight) in ids_of_parts else values).append(found)
    total_norm = get_total_norm(values)
    if ids_of_parts:
        square = sum_over_ranks(get_total_norm(of_parts).square())
        total_norm, values = (total_norm.square() + square).sqrt(), values + of_parts
    factor = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    # A look at the CPU's memory costs less than a pass over the gradients; a device would have to be waited for.
    if factor.device.type == "cpu" and factor == 1:
        return total_norm
    for each in values:
        each.mul_(factor)
    return total_norm
