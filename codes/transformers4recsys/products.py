"""Products of matrices on x86 processors, by the faster of the two libraries that PyTorch has for them.

PyTorch's own operators ask MKL for products in 32 bits, which holds back on processors that are not Intel's; oneDNN,
which they ask in 16 bits, takes all that a processor has.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

X86 = ("x86_64", "AMD64")


def by_row(left_XK: Tensor, right_YK: Tensor, bias_Y: Tensor | None = None) -> Tensor:
    """Multiply each row of one matrix with each of another, (X, Y): `left @ right.T + bias`. Gradients are not kept.

    Either may be a transposed view, and needs no copy on the right.
    """
    if _is_for_onednn(left_XK, right_YK, bias_Y):
        return _product_of_onednn(left_XK, right_YK, bias_Y)
    return left_XK @ right_YK.T if bias_Y is None else torch.addmm(bias_Y, left_XK, right_YK.T)


def linear(inputs: Tensor, weight_YK: Tensor, bias_Y: Tensor | None = None) -> Tensor:
    """Do what `torch.nn.functional.linear` does, (..., Y) of (..., K), with gradients."""
    inputs_XK = inputs.reshape(-1, inputs.shape[-1])
    if not _is_for_onednn(inputs_XK, weight_YK, bias_Y):
        return torch.nn.functional.linear(inputs, weight_YK, bias_Y)
    outputs_XY = cast("Tensor", _Linear.apply(inputs_XK, weight_YK, bias_Y))  # pyright: ignore
    return outputs_XY.view(*inputs.shape[:-1], -1)


class Linear(nn.Linear):
    """A linear layer of `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, inputs_XK: Tensor, weight_YK: Tensor, bias_Y: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs_XK, weight_YK)
        return by_row(inputs_XK, weight_YK, bias_Y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_XY: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        inputs_XK, weight_YK = ctx.saved_tensors
        needs_inputs, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            by_row(gradient_XY, weight_YK.T) if needs_inputs else None,
            by_row(gradient_XY.T, inputs_XK.T) if needs_weight else None,
            gradient_XY.sum(0) if needs_bias else None,
        )


def _is_for_onednn(left_XK: Tensor, right_YK: Tensor, bias_Y: Tensor | None) -> bool:
    """Whether these are what oneDNN multiplies faster; its preparations are not worth a single row."""
    if torch.compiler.is_compiling():
        # A compiler, or an export, chooses its own products.
        return False
    given = (left_XK, right_YK) if bias_Y is None else (left_XK, right_YK, bias_Y)
    return (
        all(each.dtype == torch.float32 and each.device.type == "cpu" for each in given)
        and all(size > 1 for size in (*left_XK.shape, len(right_YK)))
        and not torch.is_autocast_enabled("cpu")
        and _has_onednn()
    )


def _product_of_onednn(left_XK: Tensor, right_YK: Tensor, bias_Y: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(left_XK, right_YK, bias_Y, "none", [], "")  # pyright: ignore


@cache
def _has_onednn() -> bool:
    """Whether oneDNN's product, which is not a public function, is there, and what it is taken for."""
    if platform.machine() not in X86 or not torch.backends.mkldnn.is_available():
        return False
    left, right, bias = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3), torch.arange(4.0)
    try:
        return torch.equal(_product_of_onednn(left, right, bias), torch.addmm(bias, left, right.T))
    except (AttributeError, RuntimeError, TypeError):
        return False
