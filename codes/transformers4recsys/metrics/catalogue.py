"""Rank labels, or find the best items, straight from hidden states: block by block, no score kept for longer.

Letters as everywhere, and `R` rows at a time, `C` items of a block. The plain twin makes all scores, then takes
`ranking.rank_bounds` and the cross entropy of PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from transformers4recsys.metrics.marked_items import Marks, MarksOfRows
from transformers4recsys.metrics.ranking import Ranks, rank_bounds
from transformers4recsys.metrics.sparse_scores import SortedBias, rank_sparse, score_blocks_sparse, top_sparse
from transformers4recsys.outputs import SparseScores
from transformers4recsys.products import by_row

# Scores at a time: 1 MiB stays in the caches of a CPU core, 64 MiB fill a GPU. The fewer the rows, the wider a block.
ROWS_AT_A_TIME, FEW_ROWS = 256, 32
ITEMS_OF_A_BLOCK_ON_CPU, ITEMS_OF_A_BLOCK = 1_024, 65_536
LOG2_E = math.log2(math.e)


def rank_among_all(
    hidden_PE: Tensor | SparseScores,
    item_table_VE: Tensor | None,
    bias_V: Tensor,
    labels_P: Tensor,
    *,
    excluded: Marks | None = None,
    order: SortedBias | None = None,
) -> tuple[Ranks, Tensor]:
    """Rank each label among all items but padding (item 0); give also its negative log-likelihood, (P,) float.

    Items of a row that are `excluded` are not ranked, the label must not be one of them; the likelihood stays that
    among all items.

    Products are in the precision of `item_table_VE`, all else in that of `bias_V`. A label whose score is NaN is
    UNRANKED; another item's NaN counts as above the label. Sparse scores need no table, and have no likelihood, (0,);
    the `order` of their bias may be given, so that many batches need but one.
    """
    if isinstance(hidden_PE, SparseScores):
        marks = None if excluded is None else excluded.of_rows(0, len(hidden_PE))
        return rank_sparse(hidden_PE, order or SortedBias(bias_V), labels_P, marks), bias_V.new_empty(0)
    assert item_table_VE is not None, "hidden states are multiplied with a table"
    parts = [
        _rank_rows(
            hidden_RE,
            item_table_VE[1:].detach(),
            bias_V[1:].detach(),
            labels_P[rows] - 1,
            None if excluded is None else excluded.of_rows(rows.start, len(hidden_RE)),
        )
        for rows, hidden_RE in deal_out(hidden_PE, item_table_VE.dtype)
    ]
    num_above, num_tied, loss = (torch.cat(each) for each in zip(*parts, strict=True))
    return Ranks(num_above, num_tied), loss


def top_items(
    hidden_PE: Tensor | SparseScores,
    item_table_VE: Tensor | None,
    bias_V: Tensor,
    k: int,
    *,
    allowed: Marks | None = None,
    excluded: Marks | None = None,
    order: SortedBias | None = None,
) -> tuple[Tensor, Tensor]:
    """Give the ids and scores of the best k items but padding, best first, (P, K) both.

    The scores are to the bit those that `rank_among_all` compares, for the same hidden states. Items of a row that
    are `excluded`, or not among those `allowed` to it, come last, with a score of -inf. The `order` of the
    bias may be given for sparse scores, so that many batches need but one.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    if isinstance(hidden_PE, SparseScores) and allowed is None:
        order = order or SortedBias(bias_V)
        for first in range(0, max(len(hidden_PE), 1), ROWS_AT_A_TIME):
            rows = hidden_PE[first : first + ROWS_AT_A_TIME]
            marks = None if excluded is None else excluded.of_rows(first, len(rows))
            parts.append(top_sparse(rows, order, k, marks))
        return _joined(parts)
    for first, num_rows, blocks in _blocks_of_rows(hidden_PE, item_table_VE, bias_V):
        hides: list[Callable[[Tensor, int], None]] = []
        if allowed is not None:
            hides.append(allowed.of_rows(first, num_rows).keep_only)
        if excluded is not None:
            hides.append(excluded.of_rows(first, num_rows).exclude)
        parts.append(_top_of_blocks(blocks, bias_V.new_empty(num_rows, 0), k, hides))
    item_ids, scores = _joined(parts)
    return item_ids + 1, scores


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    item_ids, scores = (torch.cat(each) for each in zip(*parts, strict=True))
    return item_ids, scores


def all_scores(hidden_PE: Tensor | SparseScores, item_table_VE: Tensor | None, bias_V: Tensor) -> Tensor:
    """Score every item, (P, V), in the precision of the bias; padding scores -inf."""
    parts = [torch.cat(list(blocks), dim=1) for _, _, blocks in _blocks_of_rows(hidden_PE, item_table_VE, bias_V)]
    return pad(torch.cat(parts), (1, 0), value=-math.inf)


def _blocks_of_rows(
    hidden_PE: Tensor | SparseScores, item_table_VE: Tensor | None, bias_V: Tensor
) -> Iterator[tuple[int, int, Iterator[Tensor]]]:
    """Deal the rows out, some at a time: the first one, how many, and their scores of all items but padding."""
    bias_I = bias_V[1:].detach()
    if isinstance(hidden_PE, SparseScores):
        for start in range(0, max(len(hidden_PE), 1), ROWS_AT_A_TIME):
            rows = hidden_PE[start : start + ROWS_AT_A_TIME]
            yield start, len(rows), score_blocks_sparse(rows, bias_I, ITEMS_OF_A_BLOCK)
        return
    assert item_table_VE is not None, "hidden states are multiplied with a table"
    for rows, hidden_RE in deal_out(hidden_PE, item_table_VE.dtype):
        yield rows.start, len(hidden_RE), score_blocks(hidden_RE, item_table_VE[1:].detach(), bias_I)


def deal_out(hidden_PE: Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Deal the rows out, some at a time, in the precision of the products."""
    for start in range(0, max(len(hidden_PE), 1), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        yield rows, hidden_PE[rows].detach().to(dtype)


def _rank_rows(
    hidden_RE: Tensor, table_IE: Tensor, bias_I: Tensor, labels_R: Tensor, excluded: MarksOfRows | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the items above each label, those that tie with it, and its negative log-likelihood; labels from 0.

    Each block of scores is compared with the labels' while the cache holds it. These come first, from a product of
    their own; should it round otherwise than that of a block, all is done again with the scores that the blocks held.
    """
    label_R1 = scores_of(hidden_RE, table_IE[labels_R], bias_I[labels_R]).diagonal()[:, None]
    ranked, of_blocks_R1 = compare_all(hidden_RE, table_IE, bias_I, labels_R, label_R1, excluded)
    if not torch.equal(label_R1, of_blocks_R1):
        ranked, _ = compare_all(hidden_RE, table_IE, bias_I, labels_R, of_blocks_R1, excluded)
    return ranked if ranked[-1].isfinite().all() else _rank_plainly(hidden_RE, table_IE, bias_I, labels_R, excluded)


def compare_all(
    hidden_RE: Tensor,
    table_IE: Tensor,
    bias_I: Tensor,
    labels_R: Tensor,
    label_R1: Tensor,
    excluded: MarksOfRows | None,
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Give what `_rank_rows` gives, for labels of these scores, and the labels' scores as the blocks have them, (R, 1).

    Where the loss is not finite, as exp() overflows or a score is not a number, the counts mean nothing.
    """
    above_less_below_R, not_tied_R, first = torch.zeros_like(labels_R), torch.zeros_like(labels_R), 0
    of_blocks_R1, total_R = torch.full_like(label_R1, torch.nan), torch.zeros_like(label_R1[:, 0])
    for scores_RC in score_blocks(hidden_RE, table_IE, bias_I):
        place_R1, last = labels_R[:, None] - first, scores_RC.shape[1] - 1
        found_R1 = scores_RC.gather(1, place_R1.clamp(0, last))
        of_blocks_R1 = torch.where((place_R1 >= 0) & (place_R1 <= last), found_R1, of_blocks_R1)
        # In place wherever values are used up. Signs are summed in a third of the time of two comparisons, and exactly.
        scores_RC -= label_R1
        sign_RC = scores_RC.sign()
        if excluded is not None:
            excluded.count_below(sign_RC, first + 1)
        above_less_below_R += sign_RC.sum(1, dtype=torch.float32).long()
        not_tied_R += sign_RC.abs_().sum(1, dtype=torch.float32).long()
        # exp2() takes a third of the time of exp().
        total_R += scores_RC.mul_(LOG2_E).exp2_().sum(1)
        first += scores_RC.shape[1]
    num_above_R, num_tied_R = (not_tied_R + above_less_below_R) // 2, len(table_IE) - 1 - not_tied_R
    return (num_above_R, num_tied_R, total_R.log()), of_blocks_R1


def _rank_plainly(
    hidden_RE: Tensor, table_IE: Tensor, bias_I: Tensor, labels_R: Tensor, excluded: MarksOfRows | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Do the same from all scores, to the bit those of the blocks, in which there may be any value."""
    all_scores_RI = torch.cat(list(score_blocks(hidden_RE, table_IE, bias_I)), dim=1)
    few_rows = zip(torch.split(all_scores_RI, FEW_ROWS), torch.split(labels_R, FEW_ROWS), strict=True)
    loss_R = torch.cat([cross_entropy(scores_RI, part_R, reduction="none") for scores_RI, part_R in few_rows])
    if excluded is not None:
        excluded.exclude(all_scores_RI, 1)
    few_rows = zip(torch.split(all_scores_RI, FEW_ROWS), torch.split(labels_R, FEW_ROWS), strict=True)
    parts = [rank_bounds(pad(scores_RI, (1, 0)), part_R + 1) for scores_RI, part_R in few_rows]
    num_above_R, num_tied_R = (torch.cat([getattr(part, name) for part in parts]) for name in ("num_above", "num_tied"))
    return num_above_R, num_tied_R, loss_R


def _top_of_blocks(
    blocks: Iterator[Tensor], best_RK: Tensor, k: int, hides: Sequence[Callable[[Tensor, int], None]]
) -> tuple[Tensor, Tensor]:
    """Give the best k of some rows, counting items from 0; `hides` change the scores of a block, counting from 1.

    The scores begin as `best_RK`, (R, 0).

    Once k are found, what a block adds are its scores above the worst of them: few, which wait until they are many.
    """
    item_RK, first = best_RK.long(), 0
    better = _nothing(best_RK)
    for scores_RC in blocks:
        for hide in hides:
            hide(scores_RC, first + 1)
        if best_RK.shape[1] < k:
            of_block = scores_RC.topk(min(k, scores_RC.shape[1]), dim=1)
            item_RK, best_RK = _best_of_both(item_RK, best_RK, of_block.indices + first, of_block.values, k)
        else:
            # In this form a score that is not a number stays in sight.
            row_X, place_X = (~(scores_RC <= best_RK[:, -1:])).nonzero().unbind(1)
            # Joined at once: small tensors that wait each by itself lie where blocks lay, and the next need new memory.
            of_block = (row_X, place_X + first, scores_RC[row_X, place_X])
            better = tuple(torch.cat(pair) for pair in zip(better, of_block, strict=True))
            if len(better[0]) > item_RK.numel() // 2:
                item_RK, best_RK = _best_of_both(item_RK, best_RK, *_as_rows(better, item_RK[:, -1:]), k)
                better = _nothing(best_RK)
        first += scores_RC.shape[1]
    if len(better[0]):
        return _best_of_both(item_RK, best_RK, *_as_rows(better, item_RK[:, -1:]), k)
    return item_RK, best_RK


def _nothing(best_RK: Tensor) -> tuple[Tensor, ...]:
    """Give rows, items and scores of no item."""
    none = torch.empty(0, dtype=torch.long, device=best_RK.device)
    return none, none, best_RK.new_empty(0)


def _best_of_both(
    item_RK: Tensor, score_RK: Tensor, other_RC: Tensor, other_score_RC: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    scores_RC = torch.cat([score_RK, other_score_RC], dim=1)
    best_RK, place_RK = scores_RC.topk(min(k, scores_RC.shape[1]), dim=1)
    return torch.cat([item_RK, other_RC], dim=1).gather(1, place_RK), best_RK


def _as_rows(found: Sequence[Tensor], worst_R1: Tensor) -> tuple[Tensor, Tensor]:
    """Lay rows (X,), items and scores out as items and scores of each row, (R, C).

    They end in scores of -inf, of each row's worst item: where one of these is among the best, that item scores -inf.
    """
    num_rows = len(worst_R1)
    row_X, item_X, score_X = found
    row_X, order_X = row_X.sort(stable=True)
    counts_R = torch.bincount(row_X, minlength=num_rows)
    place_X = torch.arange(len(row_X), device=row_X.device) - (counts_R.cumsum(0) - counts_R)[row_X]
    width = int(counts_R.max())
    items_RC = worst_R1.repeat(1, width)
    scores_RC = score_X.new_full((num_rows, width), -torch.inf)
    items_RC[row_X, place_X], scores_RC[row_X, place_X] = item_X[order_X], score_X[order_X]
    return items_RC, scores_RC


def score_blocks(hidden_RE: Tensor, table_IE: Tensor, bias_I: Tensor) -> Iterator[Tensor]:
    """Score the items block by block, (R, C) each; the last block may be smaller."""
    size = ITEMS_OF_A_BLOCK
    if hidden_RE.device.type == "cpu":
        size = min(size, ITEMS_OF_A_BLOCK_ON_CPU * max(1, ROWS_AT_A_TIME // max(1, len(hidden_RE))))
    for start in range(0, len(table_IE), size):
        # The last product goes back to be as wide as the others: another width may round equal items apart.
        first = max(0, min(start, len(table_IE) - size))
        block = slice(first, first + size)
        scores_RC = scores_of(hidden_RE, table_IE[block], bias_I[block])
        yield scores_RC[:, start - first :].contiguous()


def scores_of(hidden_RE: Tensor, table_CE: Tensor, bias_C: Tensor) -> Tensor:
    """Score some items, (R, C), in the precision of the bias."""
    if table_CE.dtype == bias_C.dtype:
        return by_row(hidden_RE, table_CE, bias_C)
    return (hidden_RE @ table_CE.T).to(bias_C.dtype).add_(bias_C)
