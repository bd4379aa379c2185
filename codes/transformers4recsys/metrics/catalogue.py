"""Rank labels, or find the best items, straight from hidden states: block by block, no score kept for longer.

Letters as everywhere, and `R` rows at a time, `C` items of a block. The plain twin makes all scores, then takes
`ranking.rank_bounds` and the cross entropy of PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from transformers4recsys.metrics.ranking import UNRANKED, Ranks

# Scores held at a time, 64 MiB of them, in blocks that a core's cache holds or that fill a GPU.
SCORES_AT_A_TIME = 2**24
MOST_ROWS, LEAST_ROWS = 1_024, 32
ITEMS_OF_A_BLOCK_ON_CPU, ITEMS_OF_A_BLOCK = 2_048, 65_536
# exp() of scores within this of 0 keeps all digits, and their sum is finite, without taking the largest off first.
SAFE_RANGE = 60.0
LOG2_E = math.log2(math.e)

Comparison = Callable[[Tensor, Tensor], Tensor]
IN_NUMPY: dict[Comparison, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    torch.le: np.less_equal,
    torch.lt: np.less,
}


def rank_among_all(hidden_PE: Tensor, item_table_VE: Tensor, bias_V: Tensor, labels_P: Tensor) -> tuple[Ranks, Tensor]:
    """Rank each label among all items but padding (item 0); give also its negative log-likelihood, (P,) float.

    Products are in the precision of `item_table_VE`, all else in that of `bias_V`. A label whose score is NaN is
    UNRANKED; another item's NaN counts as above the label.
    """
    parts = [
        _rank_rows(hidden_RE, item_table_VE[1:].detach(), bias_V[1:].detach(), labels_P[rows] - 1)
        for rows, hidden_RE in _rows(hidden_PE, item_table_VE)
    ]
    num_above, num_tied, loss = (torch.cat(each) for each in zip(*parts, strict=True))
    return Ranks(num_above, num_tied), loss


def top_items(hidden_PE: Tensor, item_table_VE: Tensor, bias_V: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Give the ids and scores of the best k items but padding, best first, (P, K) both.

    The scores are to the bit those that `rank_among_all` compares, for the same hidden states.
    """
    parts = [
        _top_of_rows(hidden_RE, item_table_VE[1:].detach(), bias_V[1:].detach(), k)
        for _, hidden_RE in _rows(hidden_PE, item_table_VE)
    ]
    item_ids, scores = (torch.cat(each) for each in zip(*parts, strict=True))
    return item_ids + 1, scores


def _rows(hidden_PE: Tensor, item_table_VE: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Deal the rows out, some at a time, in the precision of the products."""
    num_rows = max(LEAST_ROWS, min(MOST_ROWS, SCORES_AT_A_TIME // len(item_table_VE)))
    for start in range(0, max(len(hidden_PE), 1), num_rows):
        rows = slice(start, start + num_rows)
        yield rows, hidden_PE[rows].detach().to(item_table_VE.dtype)


def _rank_rows(hidden_RE: Tensor, table_IE: Tensor, bias_I: Tensor, labels_R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the items above each label, those that tie with it, and its negative log-likelihood; labels from 0."""
    scores = list(_score_blocks(hidden_RE, table_IE, bias_I))
    label_R1 = _of_labels(scores, labels_R)
    # By counting those not above, what is NaN is above.
    num_not_above_R, num_below_R = (
        torch.stack([_num_true(compare, scores_RC, label_R1) for scores_RC in scores]).sum(0)
        for compare in (torch.le, torch.lt)
    )
    loss_R1 = _log_total(scores) - label_R1
    is_nan_R = label_R1.isnan()[:, 0]
    return (
        (len(table_IE) - num_not_above_R).masked_fill(is_nan_R, UNRANKED),
        (num_not_above_R - num_below_R - 1).masked_fill(is_nan_R, 0),
        loss_R1[:, 0],
    )


def _top_of_rows(hidden_RE: Tensor, table_IE: Tensor, bias_I: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Give the best k of some rows, counting items from 0."""
    best_RK = hidden_RE.new_empty(len(hidden_RE), 0, dtype=bias_I.dtype)
    item_RK, first = best_RK.long(), 0
    for scores_RC in _score_blocks(hidden_RE, table_IE, bias_I):
        of_block = scores_RC.topk(min(k, scores_RC.shape[1]), dim=1)
        both = torch.cat([best_RK, of_block.values], dim=1)
        best_RK, place_RK = both.topk(min(k, both.shape[1]), dim=1)
        item_RK = torch.cat([item_RK, of_block.indices + first], dim=1).gather(1, place_RK)
        first += scores_RC.shape[1]
    return item_RK, best_RK


def _score_blocks(hidden_RE: Tensor, table_IE: Tensor, bias_I: Tensor) -> Iterator[Tensor]:
    """Score the items block by block, (R, C) each; the last block may be smaller."""
    size = ITEMS_OF_A_BLOCK_ON_CPU if hidden_RE.device.type == "cpu" else ITEMS_OF_A_BLOCK
    for start in range(0, len(table_IE), size):
        # The last product goes back to be as wide as the others: another width may round equal items apart.
        first = max(0, min(start, len(table_IE) - size))
        block = slice(first, first + size)
        scores_RC = (hidden_RE @ table_IE[block].T).to(bias_I.dtype).add_(bias_I[block])
        yield scores_RC[:, start - first :].contiguous()


def _of_labels(scores: Sequence[Tensor], labels_R: Tensor) -> Tensor:
    """Pick each label's own score out of the blocks, to the bit the one that others are compared with, (R, 1)."""
    label_R1, first = scores[0].new_empty(len(labels_R), 1), 0
    for scores_RC in scores:
        place_R1, last = labels_R[:, None] - first, scores_RC.shape[1] - 1
        found_R1 = scores_RC.gather(1, place_R1.clamp(0, last))
        label_R1 = torch.where((place_R1 >= 0) & (place_R1 <= last), found_R1, label_R1)
        first += scores_RC.shape[1]
    return label_R1


def _log_total(scores: Sequence[Tensor]) -> Tensor:
    """Log of the sum of exp(score) over all blocks, (R, 1); the blocks are used up."""
    largest_R1 = torch.stack([scores_RC.amax(1) for scores_RC in scores]).amax(0)[:, None]
    # A look at the values costs little on a CPU; elsewhere it would wait for the device.
    is_safe = largest_R1.device.type == "cpu" and bool((largest_R1.abs() < SAFE_RANGE).all())
    shift_R1 = torch.zeros_like(largest_R1) if is_safe else largest_R1
    total_R1 = torch.zeros_like(largest_R1)
    for scores_RC in scores:
        from_0_RC = scores_RC if is_safe else scores_RC.sub_(shift_R1)
        # exp2() takes a third of the time of exp().
        total_R1 += from_0_RC.mul_(LOG2_E).exp2_().sum(1, keepdim=True)
    return total_R1.log() + shift_R1


def _num_true(compare: Comparison, scores_RC: Tensor, label_R1: Tensor) -> Tensor:
    """Count along the rows where the comparison holds, (R,).

    On a CPU in NumPy, which compares twice as fast as PyTorch, and eight at a time: a sum of booleans is slow.
    """
    if scores_RC.device.type != "cpu" or scores_RC.shape[1] % 8 or not len(scores_RC):
        return compare(scores_RC, label_R1).sum(1)
    mask_RC = torch.from_numpy(IN_NUMPY[compare](scores_RC.numpy(), label_R1.numpy()))
    # A byte of such a word holds a count of up to 255.
    words = mask_RC.view(torch.int64).split(255, dim=1)
    return torch.stack([part.sum(1, keepdim=True).view(torch.uint8).sum(1) for part in words]).sum(0)
