"""The ranks and lists of `catalogue` where processes share the item table out: each looks among its own items for all.

Letters as in `catalogue`; a part has the items of this process, behind padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transformers4recsys import distributed
from transformers4recsys.metrics.catalogue import compare_all, deal_out, score_blocks, scores_of, top_items
from transformers4recsys.metrics.marked_items import MarkedItems, Marks, MarksOfRows
from transformers4recsys.metrics.ranking import UNRANKED, Ranks
from transformers4recsys.row_shards import RowShards


@dataclass(frozen=True)
class _Rows:
    """The rows of all processes, those of this one at `own`; items of `excluded` are places in this one's part."""

    hidden: Tensor
    excluded: MarkedItems | None
    counts: list[int]
    own: slice


def rank_among_shared(
    hidden_PE: Tensor,
    part_VE: Tensor,
    bias_V: Tensor,
    labels_P: Tensor,
    *,
    shards: RowShards,
    excluded: Marks | None = None,
) -> tuple[Ranks, Tensor]:
    """Rank the labels of this process as `rank_among_all` does; every process calls it, perhaps without a label."""
    rows = _gathered(hidden_PE, shards, excluded)
    # Counted from 0 behind padding; those of other processes lie outside of the part.
    labels = distributed.gather_rows(labels_P, rows.counts) - shards.own.start
    parts = [
        _rank_rows(
            hidden_RE,
            part_VE[1:].detach(),
            bias_V[1:].detach(),
            labels[some],
            None if rows.excluded is None else rows.excluded.of_rows(some.start, len(hidden_RE)),
            shards,
        )
        for some, hidden_RE in deal_out(rows.hidden, part_VE.dtype)
    ]
    num_above, num_tied, loss = (torch.cat(each)[rows.own] for each in zip(*parts, strict=True))
    return Ranks(num_above, num_tied), loss


def top_shared(
    hidden_PE: Tensor, part_VE: Tensor, bias_V: Tensor, k: int, *, shards: RowShards, excluded: Marks | None = None
) -> tuple[Tensor, Tensor]:
    """Give the lists of this process as `top_items` does, from the best of each process; every process calls it."""
    rows = _gathered(hidden_PE, shards, excluded)
    places, scores = top_items(rows.hidden, part_VE, bias_V, k, excluded=rows.excluded)
    ids = places + shards.own.start - 1
    counts = [min(k, end - start) for start, end in zip(shards.starts, shards.starts[1:], strict=False)]
    ids_PC, scores_PC = (distributed.gather_rows(each.T, counts).T[rows.own] for each in (ids, scores))
    scores_PK, place_PK = scores_PC.topk(min(k, sum(counts)), dim=1)
    return ids_PC.gather(1, place_PK), scores_PK


def _gathered(hidden_PE: Tensor, shards: RowShards, excluded: Marks | None) -> _Rows:
    counts = distributed.counts_of_ranks(len(hidden_PE), hidden_PE.device)
    first = sum(counts[: shards.rank])
    marks = None if excluded is None else _gathered_marks(excluded, first, counts, shards)
    own = slice(first, first + len(hidden_PE))
    return _Rows(distributed.gather_rows(hidden_PE.detach(), counts), marks, counts, own)


def _gathered_marks(excluded: Marks, first: int, counts: list[int], shards: RowShards) -> MarkedItems:
    own = excluded.of_rows(0, counts[shards.rank])
    nums = distributed.counts_of_ranks(len(own.items), own.items.device)
    row_X, item_X = (distributed.gather_rows(each, nums) for each in (own.rows + first, own.items))
    row_X, order_X = row_X.sort()
    ends_P = torch.bincount(row_X, minlength=sum(counts)).cumsum(0)
    offsets = torch.cat([ends_P.new_zeros(1), ends_P])
    return MarkedItems(item_X[order_X] - shards.own.start + 1, offsets)


def _rank_rows(
    hidden_RE: Tensor,
    part_IE: Tensor,
    bias_I: Tensor,
    labels_R: Tensor,
    excluded: MarksOfRows | None,
    shards: RowShards,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give what `catalogue` gives for the whole table: the scores of labels come from the process that has them."""
    is_here_R = (labels_R >= 0) & (labels_R < len(part_IE))
    place_R = labels_R.clamp(0, len(part_IE) - 1)
    own_R = scores_of(hidden_RE, part_IE[place_R], bias_I[place_R]).diagonal()
    label_R1 = shards.sum(own_R.where(is_here_R, 0.0))[:, None]
    ranked, of_blocks_R1 = compare_all(hidden_RE, part_IE, bias_I, labels_R, label_R1, excluded)
    of_blocks_R1 = shards.sum(of_blocks_R1.where(is_here_R[:, None], 0.0))
    if not torch.equal(label_R1, of_blocks_R1):
        ranked, _ = compare_all(hidden_RE, part_IE, bias_I, labels_R, of_blocks_R1, excluded)
    num_above_R, num_tied_R, log_total_R = ranked
    loss_R = _log_of_sum(log_total_R, shards)
    if not loss_R.isfinite().all():
        return _rank_plainly(hidden_RE, part_IE, bias_I, of_blocks_R1, excluded, shards)
    # One item less than there are was not counted, for the label's sake.
    return shards.sum(num_above_R), shards.sum(num_tied_R + ~is_here_R), loss_R


def _rank_plainly(
    hidden_RE: Tensor,
    part_IE: Tensor,
    bias_I: Tensor,
    label_R1: Tensor,
    excluded: MarksOfRows | None,
    shards: RowShards,
) -> tuple[Tensor, Tensor, Tensor]:
    """Do the same from all scores of this process, in which there may be any value."""
    scores_RI = torch.cat(list(score_blocks(hidden_RE, part_IE, bias_I)), dim=1)
    loss_R = _log_of_sum(scores_RI.logsumexp(1), shards) - label_R1[:, 0]
    if excluded is not None:
        excluded.exclude(scores_RI, 1)
    num_not_above_R, num_equal_R = (
        shards.sum((scores_RI <= label_R1).sum(1)),
        shards.sum((scores_RI == label_R1).sum(1)),
    )
    is_nan_R = label_R1[:, 0].isnan()
    num_above_R = shards.num_items - 1 - num_not_above_R
    return num_above_R.masked_fill(is_nan_R, UNRANKED), (num_equal_R - 1).masked_fill(is_nan_R, 0), loss_R


def _log_of_sum(log_R: Tensor, shards: RowShards) -> Tensor:
    """Give the logarithm of the sum over all processes of what these are the logarithms of."""
    return distributed.gather_rows(log_R[None], [1] * shards.num_ranks).logsumexp(0)
