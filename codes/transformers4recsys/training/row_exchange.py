"""Gradients of item tables in several processes: the rows that some process read are exchanged, a table never is."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from transformers4recsys import distributed
from transformers4recsys.model.content import DATA
from transformers4recsys.model.next_item import NextItemModel

# What every process has counted alike before a day is trained on.
COUNTS = ("item_counts", "session_counts", "popularity_shift.")


def leave_to_exchange(model: NextItemModel) -> None:
    """Let DistributedDataParallel pass over what is of the size of the catalogue and need not be added up whole.

    Those are weights with sparse gradients, which `exchange_rows` adds up; tables of which each process has its own
    rows; and what all have counted or read alike, which it would send from the first to the others before each step.
    """
    names = [*model.weights_by_row, *(model.weights_of_items if model.shards else ())]
    names += [name for name, _ in model.named_buffers() if name.startswith((*COUNTS, DATA))]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


def exchange_rows(weights: Iterable[nn.Parameter]) -> None:
    """Give each weight the mean of its sparse gradients over all processes; a no-op in a single one.

    Every process calls it with the same weights, whether or not it has a gradient of each.
    """
    if distributed.world_size() == 1:
        return
    for weight in weights:
        own = _no_rows(weight) if weight.grad is None else weight.grad
        weight.grad = mean_of_rows(own.coalesce())


def mean_of_rows(gradient: Tensor) -> Tensor:
    """Average sparse gradients of one shape over all processes, in their order, so that all get the same bits."""
    num_ranks = distributed.world_size()
    counts = distributed.counts_of_ranks(gradient._nnz(), gradient.device)
    rows_N, values_NE = (distributed.gather_rows(part, counts) for part in (gradient.indices()[0], gradient.values()))
    return torch.sparse_coo_tensor(rows_N[None], values_NE / num_ranks, gradient.shape).coalesce()


def _no_rows(weight: Tensor) -> Tensor:
    rows = torch.zeros(1, 0, dtype=torch.long, device=weight.device)
    return torch.sparse_coo_tensor(rows, weight.new_zeros(0, *weight.shape[1:]), weight.shape)
