"""Scores of candidates that each prediction has of its own, without a copy of their vectors for each of them.

Letters as everywhere, and `U` items that are a candidate of some prediction.
"""

from __future__ import annotations

import warnings
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# With more items for each candidate, sorting these takes less time than marking them among all items.
MANY_ITEMS_FOR_EACH = 4


def plain_products(hidden_PE: Tensor, items_UE: Tensor, places_PK: Tensor) -> Tensor:
    """Multiply each hidden state with the items at its K places, (P, K)."""
    return torch.einsum("pe,pke->pk", hidden_PE, items_UE[places_PK])


def products(hidden_PE: Tensor, items_UE: Tensor, places_PK: Tensor) -> Tensor:
    """Do the same, on CPUs several times as fast: as the chosen entries of one large product."""
    if hidden_PE.device.type != "cpu" or not torch.backends.mkl.is_available():
        return plain_products(hidden_PE, items_UE, places_PK)
    if places_PK.shape[1] > len(items_UE):
        # A row of the sparse matrix has no room for more entries than columns, and all products are few.
        return (hidden_PE.to(items_UE.dtype) @ items_UE.T).gather(1, places_PK)
    given = hidden_PE.to(items_UE.dtype), items_UE, places_PK
    return cast("Tensor", _ChosenProducts.apply(*given))  # pyright: ignore[reportUnknownMemberType]


def distinct(ids_PK: Tensor, num_items: int) -> tuple[Tensor, Tensor]:
    """Give the distinct ids, (U,), and where among them each of `ids_PK` stands, (P, K)."""
    if num_items > MANY_ITEMS_FOR_EACH * ids_PK.numel():
        return cast("tuple[Tensor, Tensor]", torch.unique(ids_PK, return_inverse=True))  # pyright: ignore
    is_there_V = torch.zeros(num_items, dtype=torch.bool, device=ids_PK.device)
    is_there_V[ids_PK.flatten()] = True
    return is_there_V.nonzero()[:, 0], (is_there_V.cumsum(0) - 1)[ids_PK]


class _ChosenProducts(torch.autograd.Function):
    """Entries of hidden_PE @ items_UE.T: each gradient is a product with a sparse matrix of K entries a row."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden_PE: Tensor, items_UE: Tensor, places_PK: Tensor) -> Tensor:
        ctx.save_for_backward(hidden_PE, items_UE, places_PK)
        with torch.autocast("cpu", enabled=False):
            chosen_PU = _sparse(places_PK, hidden_PE.new_ones(places_PK.shape), len(items_UE))
            found_PU = torch.sparse.sampled_addmm(chosen_PU, hidden_PE, items_UE.T, beta=0.0)  # pyright: ignore
        return cast("Tensor", found_PU).values().view(places_PK.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        saved = cast("tuple[Tensor, ...]", ctx.saved_tensors)  # pyright: ignore
        hidden_PE, items_UE, places_PK = saved
        with torch.autocast("cpu", enabled=False):
            gradient_PU = _sparse(places_PK, gradient.contiguous(), len(items_UE))
            return gradient_PU @ items_UE, gradient_PU.t().to_sparse_csr() @ hidden_PE, None


def _sparse(places_PK: Tensor, values_PK: Tensor, num_columns: int) -> Tensor:
    """Make a sparse matrix, (P, U), with K entries in each row."""
    num_rows, num_entries = places_PK.shape
    starts = torch.arange(num_rows + 1) * num_entries
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(  # pyright: ignore[reportUnknownMemberType]
            starts,
            places_PK.flatten(),
            values_PK.flatten(),
            size=(num_rows, num_columns),
            check_invariants=False,
        )
