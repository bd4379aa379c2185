"""Ranks, sums and barriers over the processes of a run; no-ops where there is but one."""

from __future__ import annotations

import torch.distributed
from torch import Tensor


def rank() -> int:
    """Number of this process, from 0."""
    return torch.distributed.get_rank() if _is_on() else 0


def world_size() -> int:
    """How many processes run."""
    return torch.distributed.get_world_size() if _is_on() else 1


def is_main() -> bool:
    """Say whether this process is the one that writes files and talks."""
    return rank() == 0


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Sum tensors of one shape over all processes; every process calls it and gets the sum."""
    if world_size() == 1:
        return tensor
    # NCCL alone cannot reach the memory of the CPU.
    needs_gpu = tensor.device.type == "cpu" and torch.distributed.get_backend() == "nccl"
    total = tensor.cuda() if needs_gpu else tensor.clone()
    torch.distributed.all_reduce(total)
    return total.to(tensor.device)


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        torch.distributed.barrier()


def _is_on() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
