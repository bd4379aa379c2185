"""Cross entropy over the catalogue without ever holding all scores: chunks of rows, gradients in the forward pass.

Letters as everywhere, and `R` rows of a chunk, `C` items of a block. The plain twin is `catalogue.cross_entropy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from transformers4recsys import distributed
from transformers4recsys.products import by_row
from transformers4recsys.row_shards import RowShards

# Scores held at a time, 128 MiB of them, or 1 GiB on a GPU, in blocks that a core's cache holds or that fill a GPU.
SCORES_AT_A_TIME_ON_CPU, SCORES_AT_A_TIME = 2**25, 2**28
# Fewer rows than LEAST would make slow products: scores are then made twice and never held.
MOST_ROWS_ON_CPU, LEAST_ROWS = 640, 256
# Products whose results have rows of another length take up to half as long again.
ROWS_FIT = 16
# Of each thread on the CPU. The weights of a block are at most 1 each, and their sum has to fit into 16 bits.
ITEMS_OF_A_BLOCK_ON_CPU, ITEMS_OF_A_BLOCK = 1_024, 32_768
# exp() of scores within this of one another keeps all digits without taking the largest off first: e^60 times ten
# million items is e^76, and 32 bits end at e^88.
SAFE_RANGE = 120.0
LOG2_E = math.log2(math.e)

# From hidden states, item table, bias, labels, label smoothing and the precision of products: the losses, (P,), and
# the gradients of their sum by the first three.
LossesAndGradients = Callable[[Tensor, Tensor, Tensor, Tensor, float, torch.dtype], tuple[Tensor, tuple[Tensor, ...]]]


def cross_entropy(
    hidden_PE: Tensor,
    item_table_VE: Tensor,
    bias_V: Tensor,
    labels_P: Tensor,
    *,
    label_smoothing: float = 0.0,
    shards: RowShards | None = None,
) -> Tensor:
    """Mean negative log-likelihood as in `catalogue.cross_entropy`, in memory that does not grow with P x V.

    Under autocast the products of a block are in its lower precision, sums over blocks in full: the loss is then right
    to half a step of that precision at the largest score, about 0.01 for a score of 4. The gradients are made here, and
    scaled in place: there is no second backward pass.

    With `shards`, table and bias are the parts of this process. All processes call it together, and each gives the mean
    over its own labels, perhaps none; gradients of the parts are the mean over processes, as rows_of_all() makes them.
    """
    if not len(labels_P) and shards is None:
        return hidden_PE.sum() * 0
    given = hidden_PE, item_table_VE, bias_V, labels_P, label_smoothing
    if shards is not None:
        precision = precision_of_products(item_table_VE)
        return cast("Tensor", _SharedCrossEntropy.apply(*given, precision, shards))  # pyright: ignore[reportUnknownMemberType]
    return mean_loss(_losses_and_gradients, *given)


def precision_of_products(item_table_VE: Tensor) -> torch.dtype:
    """Give the lower precision of autocast, or that of the table."""
    device = item_table_VE.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else item_table_VE.dtype


def mean_loss(
    losses_and_gradients: LossesAndGradients,
    hidden_PE: Tensor,
    item_table_VE: Tensor,
    bias_V: Tensor,
    labels_P: Tensor,
    label_smoothing: float,
) -> Tensor:
    """Average losses that come with their gradients, which are scaled in place: there is no second backward pass."""
    given = hidden_PE, item_table_VE, bias_V, labels_P, label_smoothing, precision_of_products(item_table_VE)
    return cast("Tensor", _MeanLoss.apply(losses_and_gradients, *given))  # pyright: ignore[reportUnknownMemberType]


def _losses_and_gradients(
    hidden_PE: Tensor,
    item_table_VE: Tensor,
    bias_V: Tensor,
    labels_P: Tensor,
    label_smoothing: float,
    precision: torch.dtype,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    softmax = Softmax.of(hidden_PE, item_table_VE, bias_V, precision)
    return softmax.losses_and_gradients(labels_P, label_smoothing)


class _MeanLoss(torch.autograd.Function):
    """The loss, and with it the gradients of hidden states, item table and bias."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        losses_and_gradients: LossesAndGradients,
        hidden_PE: Tensor,
        item_table_VE: Tensor,
        bias_V: Tensor,
        labels_P: Tensor,
        label_smoothing: float,
        precision: torch.dtype,
    ) -> Tensor:
        with torch.autocast(hidden_PE.device.type, enabled=False):
            hidden = hidden_PE.to(item_table_VE.dtype)
            loss_P, gradients = losses_and_gradients(
                hidden, item_table_VE, bias_V, labels_P, label_smoothing, precision
            )
        ctx.save_for_backward(*(of.div_(len(labels_P)) for of in gradients))
        ctx.dtype = hidden_PE.dtype  # pyright: ignore[reportAttributeAccessIssue]
        return loss_P.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        of_inputs = cast("tuple[Tensor, ...]", ctx.saved_tensors)  # pyright: ignore
        # On the CPU a look costs less than a pass over the table; elsewhere it would wait for the device.
        if gradient.device.type != "cpu" or gradient != 1:
            of_inputs = tuple(each.mul_(gradient) for each in of_inputs)
        # Only now, with the scale that keeps small gradients out of the zeros of half precision.
        of_hidden = of_inputs[0].to(cast("torch.dtype", ctx.dtype))  # pyright: ignore
        return (None, of_hidden, *of_inputs[1:], None, None, None)


class _SharedCrossEntropy(torch.autograd.Function):
    """The same where processes share table and bias out: each scores its own items for the hidden states of all."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden_PE: Tensor,
        item_table_VE: Tensor,
        bias_V: Tensor,
        labels_P: Tensor,
        label_smoothing: float,
        precision: torch.dtype,
        shards: RowShards,
    ) -> Tensor:
        counts = distributed.counts_of_ranks(len(labels_P), labels_P.device)
        first = sum(counts[: shards.rank])
        own = slice(first, first + len(labels_P))
        ctx.counts, ctx.dtype = counts, hidden_PE.dtype  # pyright: ignore[reportAttributeAccessIssue]
        if not sum(counts):
            ctx.save_for_backward(*map(torch.zeros_like, (hidden_PE, item_table_VE, bias_V)))
            return hidden_PE.new_zeros(())
        with torch.autocast(hidden_PE.device.type, enabled=False):
            of_all = hidden_PE.to(item_table_VE.dtype), labels_P
            hidden, labels = (distributed.gather_rows(rows, counts) for rows in of_all)
            softmax = Softmax.of(hidden, item_table_VE, bias_V, precision, shards)
            loss, gradients = softmax.losses_and_gradients(shards.places(labels), label_smoothing)
        ctx.save_for_backward(gradients[0][own], *gradients[1:])
        return loss[own].sum() / max(len(labels_P), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        of_hidden, *of_parts = cast("tuple[Tensor, ...]", ctx.saved_tensors)  # pyright: ignore
        counts_R = gradient.new_tensor(cast("list[int]", ctx.counts))  # pyright: ignore
        of_label_R = distributed.values_of_ranks(gradient) / counts_R.clamp(min=1)
        of_hidden = of_hidden.to(cast("torch.dtype", ctx.dtype)) * of_label_R[distributed.rank()]  # pyright: ignore
        # The trainer weighs each label alike, whichever process has it: so do those that have any.
        of_label = of_label_R.sum() / (counts_R > 0).sum().clamp(min=1)
        return (of_hidden, *(of.mul_(of_label / len(counts_R)) for of in of_parts), None, None, None, None)


@dataclass(frozen=True)
class Softmax:
    """The softmax over the catalogue at P hidden states.

    Where scores cannot differ by more than SAFE_RANGE, exp(h w + b) is taken as exp(h w) exp(b): the bias then costs
    no pass over the scores, nor does their maximum.

    With `shards`, the P hidden states are those of all processes, and table and bias the part of this one.
    """

    hidden_PE: Tensor
    item_table_VE: Tensor
    bias_V: Tensor
    precision: torch.dtype
    is_safe: bool
    shards: RowShards | None = None

    @classmethod
    def of(
        cls,
        hidden_PE: Tensor,
        item_table_VE: Tensor,
        bias_V: Tensor,
        precision: torch.dtype,
        shards: RowShards | None = None,
    ) -> Softmax:
        is_safe = False
        # Half precision overflows at e^11; a GPU has passes to spare, and nothing to wait for an answer with.
        if hidden_PE.device.type == "cpu" and precision != torch.float16:
            of_products = _longest(hidden_PE) * _longest(item_table_VE)
            of_bias = bias_V[1:].abs().max()
            bound = of_products + of_bias
            is_safe = bool(2 * (bound if shards is None else shards.largest(bound)) < SAFE_RANGE)
        return cls(hidden_PE, item_table_VE, bias_V, precision, is_safe, shards)

    def losses_and_gradients(self, labels_P: Tensor, label_smoothing: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Give the losses, (P,), and the gradients of their sum by hidden states, item table and bias.

        Labels are places in the table: 0 where another process has the item.
        """
        hidden_PE, table_VE, bias_V = self.hidden_PE, self.item_table_VE, self.bias_V
        table_gradient_VE, bias_gradient_V = torch.zeros_like(table_VE), torch.zeros_like(bias_V)
        mean_item_PE, log_total_P = torch.empty_like(hidden_PE), torch.empty_like(hidden_PE[:, 0])
        for rows in slices(len(hidden_PE), self._rows_at_a_time):
            mean_item_PE[rows], log_total_P[rows] = self._add_chunk(rows, table_gradient_VE, bias_gradient_V)

        share = 1 - label_smoothing
        here = slice(None) if self.shards is None else labels_P.nonzero()[:, 0]
        hidden_here_XE, labels_X = hidden_PE[here], labels_P[here]
        of_labels_XE, gain_P, hidden_gradient_PE = table_VE[labels_X], torch.zeros_like(log_total_P), mean_item_PE
        gain_P[here] += share * ((hidden_here_XE * of_labels_XE).sum(1) + bias_V[labels_X])
        hidden_gradient_PE[here] -= share * of_labels_XE
        table_gradient_VE.index_add_(0, labels_X, hidden_here_XE, alpha=-share)
        bias_gradient_V.index_add_(0, labels_X, torch.ones_like(hidden_here_XE[:, 0]), alpha=-share)
        if label_smoothing:
            each = label_smoothing / (self._num_items - 1)
            sum_of_items_E = table_VE[1:].sum(0)
            gain_P += each * (hidden_PE @ sum_of_items_E + bias_V[1:].sum())
            hidden_gradient_PE -= each * sum_of_items_E
            table_gradient_VE[1:] -= each * hidden_PE.sum(0)
            bias_gradient_V[1:] -= each * len(labels_P)
        gain_P, hidden_gradient_PE = self._sum(gain_P), self._sum(hidden_gradient_PE)
        return log_total_P - gain_P, (hidden_gradient_PE, table_gradient_VE, bias_gradient_V)

    @property
    def _num_items(self) -> int:
        return len(self.item_table_VE) if self.shards is None else self.shards.num_items

    def _sum(self, values: Tensor) -> Tensor:
        return values if self.shards is None else self.shards.sum(values)

    @property
    def _rows_to_hold(self) -> int:
        """How many rows' scores there is room for, in every process."""
        is_on_cpu = self.hidden_PE.device.type == "cpu"
        most_items = len(self.item_table_VE) if self.shards is None else self.shards.most_rows
        return (SCORES_AT_A_TIME_ON_CPU if is_on_cpu else SCORES_AT_A_TIME) // most_items

    @property
    def _rows_at_a_time(self) -> int:
        """How many rows a chunk has: all chunks alike, as a small one would take almost the time of a large one."""
        most = max(LEAST_ROWS, self._rows_to_hold)
        if self.hidden_PE.device.type == "cpu":
            most = min(MOST_ROWS_ON_CPU, self._rows_to_hold) if self._rows_to_hold >= LEAST_ROWS else MOST_ROWS_ON_CPU
        num_chunks = max(math.ceil(len(self.hidden_PE) / most), 1)
        return min(math.ceil(len(self.hidden_PE) / num_chunks / ROWS_FIT) * ROWS_FIT, most)

    @property
    def _items_of_a_block(self) -> int:
        if self.hidden_PE.device.type != "cpu":
            return ITEMS_OF_A_BLOCK
        return min(ITEMS_OF_A_BLOCK_ON_CPU * torch.get_num_threads(), ITEMS_OF_A_BLOCK)

    def _add_chunk(self, rows: slice, table_gradient_VE: Tensor, bias_gradient_V: Tensor) -> tuple[Tensor, Tensor]:
        """Add a chunk to the gradients, but for the labels; give the mean item (R, E) and the log of the total (R,)."""
        # Rows of zeros at the end have a share of zero, and so no gradient.
        num_rows, is_held = len(self.hidden_PE[rows]), self._rows_to_hold >= LEAST_ROWS
        hidden_RE = torch.nn.functional.pad(self.hidden_PE[rows], (0, 0, 0, -num_rows % ROWS_FIT))
        blocks = list(slices(len(self.item_table_VE), self._items_of_a_block))
        scores: Iterable[Tensor] = Anew(lambda: self._scores(hidden_RE, blocks))
        largest_R = hidden_RE.new_zeros(len(hidden_RE))
        if not self.is_safe:
            scores = list(scores) if is_held else scores
            largest_R = torch.stack([scores_CR.amax(0) for scores_CR in scores]).amax(0)
            largest_R = largest_R if self.shards is None else self.shards.largest(largest_R)
        weights = Anew(lambda: (self._weights(scores_CR, largest_R) for scores_CR in scores))
        factor_V1 = self.bias_V.exp()[:, None] if self.is_safe else torch.ones_like(self.bias_V)[:, None]
        mean_item_ER, total_R1 = torch.zeros_like(hidden_RE.T), torch.zeros_like(hidden_RE[:, :1])
        held: list[Tensor] = []
        for block, weights_CR in zip(blocks, weights, strict=True):
            if is_held:
                held.append(weights_CR)
            items_CE = self.item_table_VE[block] * factor_V1[block]
            mean_item_ER += by_row(items_CE.T.to(self.precision), weights_CR.T)
            total_R1 += weights_CR.T @ factor_V1[block].to(self.precision)
        total_R1 = self._sum(total_R1)
        # Totals of large catalogues would make zeros of small numbers in half precision.
        unit = total_R1.amin() if self.precision == torch.float16 else 1.0
        share_R1, factor_V1 = unit / total_R1, factor_V1 / unit
        share_R1[num_rows:] = 0
        scaled_RE, scaled_R1 = (hidden_RE * share_R1).to(self.precision), share_R1.to(self.precision)
        for block, weights_CR in zip(blocks, held or weights, strict=True):
            gradient_CE = by_row(weights_CR, scaled_RE.T).to(hidden_RE.dtype)
            table_gradient_VE[block].addcmul_(gradient_CE, factor_V1[block])
            bias_gradient_V[block].addcmul_((weights_CR @ scaled_R1)[:, 0].to(hidden_RE.dtype), factor_V1[block, 0])
        return (mean_item_ER.T / total_R1)[:num_rows], (total_R1[:, 0].log() + largest_R)[:num_rows]

    def _scores(self, hidden_RE: Tensor, blocks: list[slice]) -> Iterator[Tensor]:
        """Give the scores by block, (C, R) each; where they are safe, without the bias and in units of log 2.

        Items come first: so the products of a block with items and hidden states read it by row, and faster.
        """
        # exp(x) as 2^(x log2 e): exp2() takes a third of the time, and the factor goes into the few hidden states.
        hidden_RE = (hidden_RE * LOG2_E if self.is_safe else hidden_RE).to(self.precision)
        for block in blocks:
            scores_CR = by_row(self.item_table_VE[block].to(self.precision), hidden_RE)
            yield scores_CR if self.is_safe else scores_CR.to(self.bias_V.dtype).add_(self.bias_V[block, None])

    def _weights(self, scores_CR: Tensor, largest_R: Tensor) -> Tensor:
        """Give the unnormalised softmax of a block, (C, R); the scores are used up."""
        return scores_CR.exp2_() if self.is_safe else scores_CR.sub_(largest_R).exp_().to(self.precision)


class Anew:
    """Makes its tensors each time that they are gone through, in place of holding them."""

    def __init__(self, make: Callable[[], Iterator[Tensor]]):
        self.make = make

    def __iter__(self) -> Iterator[Tensor]:
        return self.make()


def _longest(rows_XE: Tensor) -> Tensor:
    """Give the largest length of a row."""
    return rows_XE.square().sum(1).max().sqrt()


def slices(size: int, step: int) -> Iterator[slice]:
    """Cut `size` places into pieces of `step`, the last of which may be shorter."""
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
