"""Ranks of labels, and scores of all items in blocks, where each row scores few items and the others by their bias.

Letters as everywhere, and `N` items of all rows, `R` rows at a time, `C` items of a block, `I` items but padding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from transformers4recsys.metrics.marked_items import MarksOfRows
from transformers4recsys.metrics.ranking import Ranks
from transformers4recsys.outputs import SparseScores


def rank_sparse(scores: SparseScores, bias_V: Tensor, labels_P: Tensor, excluded: MarksOfRows | None = None) -> Ranks:
    """Rank each label among all items but padding (item 0), from the items of its row and the sorted biases alone.

    Items of a row that are `excluded` are not ranked; the label must not be one of them.
    """
    device = scores.items.device
    bias_V, labels_P, row_N = bias_V.to(device), labels_P.to(device), scores.row_of
    own_N = bias_V[scores.items]
    score_N = own_N + scores.values
    label_P = bias_V[labels_P].index_add(0, row_N, scores.values * (scores.items == labels_P[row_N]))
    sorted_I = bias_V[1:].sort().values
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
