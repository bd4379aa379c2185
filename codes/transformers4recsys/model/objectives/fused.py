"""Cross entropy over the catalogue whose softmax is one kernel, that of liger-kernel: for GPUs, with the extra `gpu`.

The kernel (Hsu et al. 2024, arXiv 2410.10989) reads the scores twice and writes their gradients over them once, where
the chunked loss takes some ten passes. liger-kernel has a function around it, which is not used: it waits for the
device twice a step, and divides gradients by the number of labels before products in half precision, where those of a
large catalogue become zeros.

Letters as everywhere, and `R` rows of a chunk, `C` items of a block, `W` the items and some more columns that have no
share. The plain twin is `catalogue.cross_entropy`.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transformers4recsys.model.objectives import chunked
from transformers4recsys.row_shards import RowShards

if TYPE_CHECKING:
    from liger_kernel.ops.cross_entropy import Kernel  # pyright: ignore[reportMissingModuleSource]

log = logging.getLogger(__name__)

# Numbers of 16 bits in rows of another length are slow to multiply.
COLUMNS_FIT = 16
# What liger-kernel takes: the items that are read at a time, and the threads for it, by 32 or 64 each.
ITEMS_AT_A_TIME, WARPS, WARPS_ON_ROCM = 32_768, 32, 16
# Half precision has no numbers below 6e-8, and large catalogues have items with a smaller share. A label's is 1.
GRADIENT_SCALE = 2.0**12
# The one that was tried, and that the extra installs: the kernel is not a public function, and its arguments change.
KNOWN_VERSION = "0.8.5"
# What the kernel can do besides.
NOT_USED = {
    "ignore_index": -100,
    "label_smoothing": 0.0,  # over all columns, padding among them
    "lse_square_scale": 0.0,
    "softcap": None,
    "HAS_SOFTCAPPING": False,
    "weight_ptr": None,
    "weight_sum": 0.0,
    "sum_non_ignore_weight": 1.0,
    "HAS_WEIGHT": False,
    "z_loss_ptr": None,
    "RETURN_Z_LOSS": False,
    "token_accuracy_ptr": None,
    "token_accuracy_stride": 0,
    "RETURN_TOKEN_ACCURACY": False,
    "predicted_tokens_ptr": None,
    "predicted_tokens_stride": 0,
    "RETURN_PREDICTED_TOKENS": False,
}


def fastest_cross_entropy(
    hidden_PE: Tensor,
    item_table_VE: Tensor,
    bias_V: Tensor,
    labels_P: Tensor,
    *,
    label_smoothing: float = 0.0,
    shards: RowShards | None = None,
) -> Tensor:
    """Mean negative log-likelihood as in `catalogue.cross_entropy`: fused where that runs, else in chunks.

    With `shards`, always in chunks: as there, table and bias are then the parts of this process.
    """
    if shards is None and runs_on(hidden_PE.device):
        return cross_entropy(hidden_PE, item_table_VE, bias_V, labels_P, label_smoothing=label_smoothing)
    given = hidden_PE, item_table_VE, bias_V, labels_P
    return chunked.cross_entropy(*given, label_smoothing=label_smoothing, shards=shards)


def runs_on(device: torch.device) -> bool:
    """Whether `cross_entropy` runs on the device: a GPU, or the CPU where Triton interprets its kernels there.

    Not inside torch.compile(), for which the kernel has not been tried.
    """
    if torch.compiler.is_compiling():
        return False
    is_interpreted = device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    return (device.type == "cuda" or is_interpreted) and _is_installed()


@cache
def _is_installed() -> bool:
    """Whether liger-kernel is there in the version that is known; another one is said once."""
    try:
        version = importlib.metadata.version("liger-kernel")
    except importlib.metadata.PackageNotFoundError:
        return False
    is_known = version == KNOWN_VERSION
    if not is_known:
        log.warning("liger-kernel %s is not used, only %s is known; install the extra `gpu`", version, KNOWN_VERSION)
    return is_known


def cross_entropy(
    hidden_PE: Tensor, item_table_VE: Tensor, bias_V: Tensor, labels_P: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood as in `catalogue.cross_entropy`; ImportError without the extra `gpu`.

    Under autocast scores, biases and gradients of scores are in its lower precision, all sums in 32 bits. Nothing waits
    for the device. Memory grows with P x V up to 2**28 scores, and from then on as the table does.
    """
    if not len(labels_P):
        return hidden_PE.sum() * 0
    given = hidden_PE, item_table_VE, bias_V, labels_P
    return chunked.mean_loss(_losses_and_gradients, *given, label_smoothing)


def _losses_and_gradients(
    hidden_PE: Tensor,
    table_VE: Tensor,
    bias_V: Tensor,
    labels_P: Tensor,
    label_smoothing: float,
    precision: torch.dtype,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    num_items = len(table_VE)
    num_columns = math.ceil(num_items / COLUMNS_FIT) * COLUMNS_FIT
    items_WE = table_VE.new_zeros(num_columns, table_VE.shape[1], dtype=precision)
    bias_W = bias_V.new_full((num_columns,), -torch.inf, dtype=precision)
    items_WE[:num_items], bias_W[:num_items] = table_VE, bias_V

    loss_P = torch.zeros_like(labels_P, dtype=torch.float32)
    of_hidden_PE, of_table_VE, of_bias_V = (torch.zeros_like(each) for each in (hidden_PE, table_VE, bias_V))
    for rows in chunked.slices(len(hidden_PE), _rows_at_a_time(len(hidden_PE), num_columns)):
        hidden_RE = hidden_PE[rows].to(precision)
        scores_RW = torch.addmm(bias_W, hidden_RE, items_WE.T)
        _replace_by_gradients(scores_RW, labels_P[rows], loss_P[rows])
        of_hidden_PE[rows] = _product(scores_RW, items_WE)
        for block in chunked.slices(num_items, chunked.ITEMS_OF_A_BLOCK):
            of_table_VE[block] += _product(scores_RW[:, block].T, hidden_RE)
        of_bias_V += scores_RW[:, :num_items].sum(0, dtype=torch.float32)
    gradients = tuple(each.div_(GRADIENT_SCALE) for each in (of_hidden_PE, of_table_VE, of_bias_V))
    if label_smoothing:
        loss_P += _smooth((hidden_PE, table_VE, bias_V), gradients, labels_P, label_smoothing)
    return loss_P, gradients


def _replace_by_gradients(scores_RW: Tensor, labels_R: Tensor, loss_R: Tensor) -> None:
    """Write the losses, and GRADIENT_SCALE times their gradients over the scores."""
    num_rows, num_columns = scores_RW.shape
    # Triton starts kernels on the current device.
    with torch.cuda.device_of(scores_RW):
        _kernel()[(num_rows,)](
            X_ptr=scores_RW,
            X_stride=scores_RW.stride(0),
            Y_ptr=labels_R,
            Y_stride=labels_R.stride(0),
            loss_ptr=loss_R,
            loss_stride=loss_R.stride(0),
            n_cols=num_columns,
            # Both are divided by it: as a power of two without an error.
            reduction="mean",
            n_non_ignore=1 / GRADIENT_SCALE,
            HAS_GRADIENTS=True,
            BLOCK_SIZE=min(ITEMS_AT_A_TIME, 2 ** math.ceil(math.log2(num_columns))),
            num_warps=WARPS_ON_ROCM if torch.version.hip else WARPS,
            **NOT_USED,
        )
    loss_R.div_(GRADIENT_SCALE)


def _kernel() -> Kernel:
    from liger_kernel.ops.cross_entropy import (  # pyright: ignore[reportMissingModuleSource]
        liger_cross_entropy_kernel,
    )

    return liger_cross_entropy_kernel


def _rows_at_a_time(num_rows: int, num_columns: int) -> int:
    """Give the rows of a chunk, all chunks about alike."""
    most = max(chunked.SCORES_AT_A_TIME // num_columns, chunked.LEAST_ROWS)
    return math.ceil(num_rows / math.ceil(num_rows / most))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply with sums and results in 32 bits, as gradients scaled for half precision are too large for its own."""
    if left.dtype not in (torch.float16, torch.bfloat16):
        return left @ right
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()


def _smooth(
    inputs: tuple[Tensor, Tensor, Tensor], gradients: tuple[Tensor, ...], labels_P: Tensor, share: float
) -> Tensor:
    """Add what label smoothing changes to the gradients; give what it adds to the losses, (P,).

    That is its share of the difference between the score of the label and the mean over all items but padding.
    """
    hidden_PE, table_VE, bias_V = inputs
    of_hidden_PE, of_table_VE, of_bias_V = gradients
    of_labels_PE, mean_item_E = table_VE[labels_P], table_VE[1:].mean(0)
    of_hidden_PE.add_(of_labels_PE - mean_item_E, alpha=share)
    of_table_VE.index_add_(0, labels_P, hidden_PE, alpha=share)
    of_bias_V.index_add_(0, labels_P, torch.ones_like(hidden_PE[:, 0]), alpha=share)
    each = share / (len(table_VE) - 1)
    of_table_VE[1:] -= each * hidden_PE.sum(0)
    of_bias_V[1:] -= each * len(labels_P)
    label_score_P = (hidden_PE * of_labels_PE).sum(1) + bias_V[labels_P]
    return share * (label_score_P - hidden_PE @ mean_item_E - bias_V[1:].mean())
