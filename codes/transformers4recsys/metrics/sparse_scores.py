"""Ranks of labels, best items and scores of all items, where each row scores few items and the others by their bias.

Letters as everywhere, and `N` items of all rows, `M` of one row, `R` rows at a time, `C` items of a block, or shared
by all rows, `X` candidates of a row, `I` items but padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from transformers4recsys.metrics.marked_items import MarksOfRows
from transformers4recsys.metrics.ranking import Ranks
from transformers4recsys.outputs import SparseScores


class SortedBias:
    """The order of all items but padding by their bias, (V,): found when it is first asked for, and once."""

    def __init__(self, bias_V: Tensor):
        self.bias_V = bias_V

    @cached_property
    def rising_I(self) -> Tensor:
        """The biases, lowest first."""
        return self.bias_V[1:].sort().values

    @cached_property
    def best_items_I(self) -> Tensor:
        """The items, those with the highest bias first, lower ids first."""
        return self.bias_V[1:].argsort(descending=True, stable=True) + 1


def rank_sparse(
    scores: SparseScores, order: SortedBias, labels_P: Tensor, excluded: MarksOfRows | None = None
) -> Ranks:
    """Rank each label among all items but padding (item 0), from the items of its row and the sorted biases alone.

    Items of a row that are `excluded` are not ranked; the label must not be one of them.
    """
    device = scores.items.device
    bias_V, labels_P, row_N = order.bias_V.to(device), labels_P.to(device), scores.row_of
    own_N = bias_V[scores.items]
    score_N = own_N + scores.values
    label_P = bias_V[labels_P].index_add(0, row_N, scores.values * (scores.items == labels_P[row_N]))
    sorted_I = order.rising_I.to(device)
    num_not_above_P = torch.searchsorted(sorted_I, label_P, right=True)
    num_tied_P = num_not_above_P - torch.searchsorted(sorted_I, label_P)
    num_above_P = len(sorted_I) - num_not_above_P
    # Items of the row stand elsewhere than their biases say.
    of_row_N = label_P[row_N]
    num_above_P.index_add_(0, row_N, (score_N > of_row_N).long() - (own_N > of_row_N).long())
    num_tied_P.index_add_(0, row_N, (score_N == of_row_N).long() - (own_N == of_row_N).long())
    if excluded is not None:
        row_Y, item_Y = excluded.rows.to(device), excluded.items.to(device)
        score_Y = bias_V[item_Y] + _values_of(scores, row_Y, item_Y, len(bias_V))
        num_above_P.index_add_(0, row_Y, -(score_Y > label_P[row_Y]).long())
        num_tied_P.index_add_(0, row_Y, -(score_Y == label_P[row_Y]).long())
    return Ranks(num_above_P, num_tied_P - 1)


def _values_of(scores: SparseScores, row_Y: Tensor, item_Y: Tensor, num_items: int) -> Tensor:
    """Look the values of some items of rows up, (Y,); 0 where a row does not have the item."""
    number_N = scores.row_of * num_items + scores.items
    number_Y = row_Y * num_items + item_Y
    place_Y = torch.searchsorted(number_N, number_Y)
    is_found_Y = torch.cat([number_N, number_N.new_full((1,), -1)])[place_Y] == number_Y
    return torch.cat([scores.values, scores.values.new_zeros(1)])[place_Y] * is_found_Y


def score_blocks_sparse(scores: SparseScores, bias_I: Tensor, size: int) -> Iterator[Tensor]:
    """Score all items but padding in blocks of `size`, (R, C) each."""
    bias_I, row_N, place_N = bias_I.to(scores.items.device), scores.row_of, scores.items - 1
    for first in range(0, len(bias_I), size):
        block_RC = bias_I[first : first + size].expand(len(scores), -1).clone()
        of_block_N = (place_N >= first) & (place_N < first + size)
        block_RC[row_N[of_block_N], place_N[of_block_N] - first] += scores.values[of_block_N]
        yield block_RC


def top_sparse(
    scores: SparseScores, order: SortedBias, k: int, excluded: MarksOfRows | None = None
) -> tuple[Tensor, Tensor]:
    """Give the ids and scores of the best k items but padding of each row, best first, lower ids first, (R, K) both.

    Beside a row's own items so many of those with the highest bias are looked at that no other one can be among the k.
    Items of a row that are `excluded` come last, with a score of -inf.
    """
    device, num_rows = scores.items.device, len(scores)
    bias_V, row_N = order.bias_V.to(device), scores.row_of
    moved = [torch.bincount(row_N, minlength=num_rows)]
    if excluded is not None:
        moved.append(torch.bincount(excluded.rows.to(device), minlength=num_rows))
    num_moved = int(torch.stack(moved).sum(0).max()) if num_rows else 0
    shared_C = order.best_items_I[: k + num_moved].to(device)
    place_V = torch.full_like(bias_V, -1, dtype=torch.long)
    place_V[shared_C] = torch.arange(len(shared_C), device=device)
    own = _rows_of(scores, place_V[scores.items] < 0)
    items_RX = torch.cat([shared_C.expand(num_rows, -1), own[0]], dim=1)
    scores_RX = torch.cat([bias_V[shared_C].expand(num_rows, -1), own[1] + bias_V[own[0]]], dim=1)
    scores_RX[:, len(shared_C) :][own[0] == 0] = -torch.inf
    is_shared_N = place_V[scores.items] >= 0
    scores_RX[row_N[is_shared_N], place_V[scores.items[is_shared_N]]] += scores.values[is_shared_N]
    if excluded is not None:
        number_Y = excluded.rows.to(device) * len(bias_V) + excluded.items.to(device)
        number_RX = torch.arange(num_rows, device=device)[:, None] * len(bias_V) + items_RX
        scores_RX[torch.isin(number_RX, number_Y)] = -torch.inf
    items_RX, by_id_RX = items_RX.sort(dim=1, stable=True)
    best_RX, order_RX = scores_RX.gather(1, by_id_RX).sort(dim=1, descending=True, stable=True)
    return items_RX.gather(1, order_RX)[:, :k], best_RX[:, :k]


def _rows_of(scores: SparseScores, is_chosen_N: Tensor) -> tuple[Tensor, Tensor]:
    """Lay the chosen items and values of each row out, (R, M) both, 0 where a row has fewer."""
    row_M, item_M, value_M = (each[is_chosen_N] for each in (scores.row_of, scores.items, scores.values))
    counts_R = torch.bincount(row_M, minlength=len(scores))
    place_M = torch.arange(len(row_M), device=row_M.device) - (counts_R.cumsum(0) - counts_R)[row_M]
    width = int(counts_R.max()) if len(counts_R) else 0
    items_RM, values_RM = item_M.new_zeros(len(scores), width), value_M.new_zeros(len(scores), width)
    items_RM[row_M, place_M], values_RM[row_M, place_M] = item_M, value_M
    return items_RM, values_RM
