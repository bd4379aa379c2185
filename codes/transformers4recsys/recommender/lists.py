"""From hidden states to the table of recommendations: the best allowed items of each session, and what stands in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from transformers4recsys.errors import InputError
from transformers4recsys.metrics.catalogue import top_items
from transformers4recsys.metrics.marked_items import MarkedItems
from transformers4recsys.outputs import SparseScores
from transformers4recsys.recommender.approximate import CHOSEN, ApproximateIndex, Graph
from transformers4recsys.recommender.filters import Filters
from transformers4recsys.recommender.item_ids import ItemIds

# From this share of the catalogue on it takes less time to score all items than to gather the candidates.
MANY_CANDIDATES = 0.25
# Rows whose found items are scored together.
FEW_ROWS = 64


class ListMaker:
    """Makes lists from products of hidden states (P, E) with the item table (V, E), plus the bias (V,).

    Sparse scores need no table. With `index`, which `use_index` makes, lists without candidates hold the best of the
    items that it finds.
    """

    def __init__(self, item_table_VE: Tensor | None, bias_V: Tensor, item_ids: ItemIds, item_counts_V: Tensor):
        self.index: ApproximateIndex | None = None
        self._table_VE, self._item_ids, self._counts_V = item_table_VE, item_ids, item_counts_V
        # Spare ids stand for no item yet, so they are never recommended.
        is_item_V = torch.tensor(item_ids.has_raw_id, device=bias_V.device)
        bias_V = bias_V if item_table_VE is None else bias_V.float()
        self._bias_V = bias_V.masked_fill(~is_item_V, -torch.inf)

    @cached_property
    def _popular(self) -> tuple[Tensor, Tensor]:
        """A table of one column, the share of the training events; what never occurred is not popular."""
        counts_V = self._counts_V.double()
        share_V1 = (counts_V / counts_V.sum().clamp(min=1)).float()[:, None]
        return share_V1, self._bias_V.new_zeros(len(counts_V)).masked_fill(
            (counts_V == 0) | self._bias_V.isinf(), -torch.inf
        )

    def of_hidden(
        self,
        hidden_PE: Tensor | SparseScores,
        names: Sequence[Hashable],
        seen: Sequence[Sequence[int]],
        filters: Filters,
    ) -> _Lists:
        """Give the lists of sessions that the model has encoded."""
        if self.index is not None and filters.candidates is None and not isinstance(hidden_PE, SparseScores):
            lists = self._best_found(self.index, hidden_PE, filters.excluded(names, seen), filters.k)
        else:
            lists = self._best(hidden_PE, self._table_VE, self._bias_V, names, seen, filters)
        return lists if filters.min_score is None else lists.at_least(filters.min_score)

    def use_index(self, graph: Graph = CHOSEN) -> ApproximateIndex:
        """Build an approximate index of the items, and make lists of what it finds from now on."""
        if self._table_VE is None:
            raise InputError("`index` approximate: a baseline has no item vectors to index; leave it out")
        self.index = ApproximateIndex(self._table_VE, self._bias_V, graph)
        return self.index

    def of_popularity(self, names: Sequence[Hashable], filters: Filters) -> _Lists:
        """Give the most popular items that the filters allow; the scores are their shares of the training events."""
        share_V1, bias_V = self._popular
        return self._best(share_V1.new_ones(len(names), 1), share_V1, bias_V, names, [()] * len(names), filters)

    def _best(
        self,
        hidden_PE: Tensor | SparseScores,
        table_VE: Tensor | None,
        bias_V: Tensor,
        names: Sequence[Hashable],
        seen: Sequence[Sequence[int]],
        filters: Filters,
    ) -> _Lists:
        ids_C = allowed = None
        shared: list[int] = []
        if filters.candidates is not None and filters.candidates.shared is not None:
            shared = [0, *filters.candidates.shared]
            ids_C = torch.tensor(shared, device=bias_V.device)
            if table_VE is None or len(ids_C) > MANY_CANDIDATES * len(bias_V):
                bias_V = torch.full_like(bias_V, -torch.inf).index_copy(0, ids_C, bias_V[ids_C])
                ids_C = None
        elif filters.candidates is not None:
            allowed = MarkedItems.from_lists(filters.candidates.of_sessions(names), bias_V.device)
        excluded_lists = filters.excluded(names, seen)
        if excluded_lists is not None and ids_C is not None:
            place_of = {item: place for place, item in enumerate(shared)}
            excluded_lists = [[place_of[item] for item in row if item in place_of] for row in excluded_lists]
        excluded = None if excluded_lists is None else MarkedItems.from_lists(excluded_lists, bias_V.device)
        if ids_C is not None and table_VE is not None:
            table_VE, bias_V = table_VE[ids_C], bias_V[ids_C]
        k = min(filters.k, len(bias_V) - 1)
        item_PK, score_PK = top_items(hidden_PE, table_VE, bias_V, k, allowed=allowed, excluded=excluded)
        return _Lists((item_PK if ids_C is None else ids_C[item_PK]).cpu().numpy(), score_PK.float().cpu().numpy())

    def _best_found(
        self, index: ApproximateIndex, hidden_PE: Tensor, excluded: list[Sequence[int]] | None, k: int
    ) -> _Lists:
        """Score what the index finds exactly; as many more are looked for as the longest exclusion may take away."""
        assert self._table_VE is not None, "an index is of vectors"
        longest = max(map(len, excluded or []), default=0)
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        for first in range(0, max(len(hidden_PE), 1), FEW_ROWS):
            hidden_RE = hidden_PE[first : first + FEW_ROWS]
            item_RC = index.find(hidden_RE, k + longest)
            score_RC = torch.einsum("re,rce->rc", hidden_RE.float(), self._table_VE[item_RC].float())
            # Where fewer items were found stands padding, whose bias is -inf.
            score_RC += self._bias_V[item_RC]
            for row, items in enumerate(excluded[first : first + FEW_ROWS] if excluded else []):
                is_excluded_C = torch.isin(item_RC[row], torch.tensor(items, dtype=torch.long, device=item_RC.device))
                score_RC[row, is_excluded_C] = -torch.inf
            best_RK, place_RK = score_RC.topk(min(k, score_RC.shape[1]), dim=1)
            parts.append((item_RC.gather(1, place_RK).cpu().numpy(), best_RK.cpu().numpy()))
        items, scores = (np.concatenate(each) for each in zip(*parts, strict=True))
        return _Lists(items, scores)

    def table(self, names: pa.Array, parts: Sequence[Part]) -> pa.Table:
        """Lay lists out, session by session: `parts` are places of sessions in `names`, their lists, and if popular."""
        found = [np.nonzero(np.isfinite(lists.scores)) for _, lists, _ in parts]
        cells = list(zip(parts, found, strict=True))
        row_X = _joined([places[rows] for (places, _, _), (rows, _) in cells], np.int64)
        rank_X = _joined([ranks for _, ranks in found], np.int64)
        item_X = _joined([lists.items[cell] for (_, lists, _), cell in cells], np.int64)
        score_X = _joined([lists.scores[cell] for (_, lists, _), cell in cells], np.float32)
        stands_in_X = _joined([np.full(len(rows), is_popular) for (_, _, is_popular), (rows, _) in cells], np.bool_)
        order = np.argsort(row_X, kind="stable")
        return pa.table(
            {
                "session": names.take(pa.array(row_X[order])),
                "rank": pa.array(rank_X[order] + 1, pa.int32()),
                "item": self._item_ids.to_raw(item_X[order]),
                "score": pa.array(score_X[order], pa.float32()),
                "is_fallback": pa.array(stands_in_X[order], pa.bool_()),
            }
        )


class _Lists:
    """Items and scores of P lists, (P, K) each, best first; a score of -inf ends a list."""

    def __init__(self, items: np.ndarray, scores: np.ndarray):
        self.items, self.scores = items, scores

    def at_least(self, score: float) -> _Lists:
        return _Lists(self.items, np.where(self.scores >= score, self.scores, -np.inf))


# The places of sessions, their lists, and whether these are of popular items.
Part: TypeAlias = tuple[np.ndarray, _Lists, bool]


def _joined(parts: list[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate(parts).astype(kind, copy=False) if parts else np.empty(0, kind)
