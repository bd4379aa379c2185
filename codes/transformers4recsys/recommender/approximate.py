"""An approximate index of item vectors: it finds most of the best items of a session without scoring all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transformers4recsys.errors import InputError


@dataclass(frozen=True)
class Graph:
    """Neighbours of each item, and how many are looked at while the graph is built and while it is searched."""

    connectivity: int = 16
    expansion_add: int = 64
    expansion_search: int = 256


CHOSEN = Graph()


class ApproximateIndex:
    """A graph of near neighbours (HNSW, Malkov 2018) over the items whose bias is finite; needs the extra `index`.

    The largest products are the nearest vectors once all vectors are equally long: each item's gets its bias and the
    missing length as two more coordinates (Bachrach 2014), a session's gets 1 and 0.
    """

    def __init__(self, item_table_VE: Tensor, bias_V: Tensor, graph: Graph = CHOSEN):
        try:
            from usearch.index import Index
        except ImportError as error:
            raise InputError(
                f"`index` approximate needs {error.name}: pip install 'transformers4recsys[index]'"
            ) from error
        ids_I = bias_V.isfinite().nonzero()[:, 0]
        vectors_IE = torch.cat([item_table_VE[ids_I].float(), bias_V[ids_I, None].float()], dim=1).cpu()
        squares_I1 = vectors_IE.square().sum(1, keepdim=True)
        missing_I1 = (squares_I1.max() - squares_I1).clamp(min=0).sqrt() if len(ids_I) else squares_I1
        self._index = Index(
            ndim=vectors_IE.shape[1] + 1,
            metric="ip",
            dtype="f32",
            connectivity=graph.connectivity,
            expansion_add=graph.expansion_add,
            expansion_search=graph.expansion_search,
        )
        self._index.add(ids_I.cpu().numpy().astype(np.uint64), torch.cat([vectors_IE, missing_I1], dim=1).numpy())

    def __len__(self) -> int:
        return len(self._index)

    def find(self, hidden_PE: Tensor, number: int) -> Tensor:
        """Give the ids of about the best items of each session, (P, C), in no order; 0 where fewer were found."""
        if not len(self) or not len(hidden_PE):
            return torch.zeros(len(hidden_PE), 0, dtype=torch.long, device=hidden_PE.device)
        ends_P2 = hidden_PE.new_tensor([1.0, 0.0]).expand(len(hidden_PE), 2)
        queries = torch.cat([hidden_PE, ends_P2], dim=1).float().cpu().numpy()
        found = self._index.search(queries, min(number, len(self)))
        keys = np.atleast_2d(found.keys).astype(np.int64)
        # The answer to one query has no counts: it is as long as what was found.
        counts = np.asarray(getattr(found, "counts", [keys.shape[1]]))
        keys[np.arange(keys.shape[1]) >= counts[:, None]] = 0
        return torch.as_tensor(keys).to(hidden_PE.device)
