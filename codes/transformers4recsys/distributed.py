"""Ranks, sums, barriers and one voice over the processes of a run; no-ops where there is but one."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache

import torch.distributed
from torch import Tensor

from transformers4recsys.errors import InputError

# How long the processes of a run wait for each other to start, and for the one that tells their common error.
START_TIMEOUT, TELL_TIMEOUT = timedelta(minutes=15), timedelta(seconds=60)
TELLERS, TOLD = "transformers4recsys/tellers", "transformers4recsys/told"


def rank() -> int:
    """Number of this process, from 0."""
    return torch.distributed.get_rank() if _is_on() else 0


def world_size() -> int:
    """How many processes run."""
    return torch.distributed.get_world_size() if _is_on() else 1


def is_main() -> bool:
    """Say whether this process is the one that writes files and talks."""
    return rank() == 0


def num_launched(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the launcher started, joined or not; 1 without a launcher."""
    return int(environment.get("WORLD_SIZE", 1)) if "RANK" in environment else 1


def join(*, uses_cpu: bool, timeout: timedelta, backend: str | None = None) -> None:
    """Join the processes that a launcher started; after `timeout` without an answer from one, the others fail.

    Devices other than CPUs and NVIDIA's GPUs are left to the Trainer, which knows their backends.
    """
    if num_launched() == 1 or _is_on() or not (uses_cpu or torch.cuda.is_available()):
        return
    torch.distributed.init_process_group(
        "gloo" if uses_cpu else backend or "nccl",
        store=torch.distributed.PrefixStore("transformers4recsys", _store()),  # pyright: ignore[reportPrivateImportUsage]
        rank=int(os.environ["RANK"]),
        world_size=num_launched(),
        timeout=timeout,
    )


def leave() -> None:
    """Part from the other processes, if this one had joined them, and end the threads of the connection.

    Gloo ends its threads with the last reference to the group, and a sharded model that nobody needs holds some until
    its cycles are collected.
    """
    if _is_on():
        torch.distributed.destroy_process_group()
        gc.collect()


def say_once(text: str) -> None:
    """Write `text`, which all processes may want to say, to stderr: the first one to come here does, the others wait.

    None returns before it is written, so that no launcher ends the process that writes because another one has ended.
    """
    if num_launched() == 1:
        sys.stderr.write(text)
        return
    try:
        store = _store()
        if store.add(TELLERS, 1) == 1:
            _write(text)
            store.set(TOLD, "yes")
        else:
            store.wait([TOLD], TELL_TIMEOUT)
    except InputError:
        _write(text)
    except RuntimeError:
        # The process that kept the store has said it and is gone.
        return


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Sum tensors of one shape over all processes; every process calls it and gets the sum."""
    if world_size() == 1:
        return tensor
    # NCCL alone cannot reach the memory of the CPU.
    needs_gpu = tensor.device.type == "cpu" and torch.distributed.get_backend() == "nccl"
    total = tensor.cuda() if needs_gpu else tensor.clone()
    torch.distributed.all_reduce(total)
    return total.to(tensor.device)


def gather_rows(rows_X: Tensor, counts: Sequence[int]) -> Tensor:
    """Put the rows of all processes, of which each has its count, below each other; every process gets them."""
    padded = rows_X.new_zeros(max(counts), *rows_X.shape[1:])
    padded[: len(rows_X)] = rows_X
    parts = [torch.empty_like(padded) for _ in counts]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def counts_of_ranks(count: int, device: torch.device) -> list[int]:
    """Tell all processes a number of each."""
    return values_of_ranks(torch.tensor(count, device=device)).tolist()


def values_of_ranks(value: Tensor) -> Tensor:
    """Tell all processes a value of each, which has no dimensions, (R,)."""
    values_R = value.new_zeros(world_size())
    values_R[rank()] = value
    return sum_over_ranks(values_R)


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        torch.distributed.barrier()


@cache
def _store() -> torch.distributed.Store:  # pyright: ignore[reportPrivateImportUsage]
    """Open what the processes of a launch share before they have joined."""
    try:
        meeting = torch.distributed.rendezvous("env://", timeout=START_TIMEOUT)  # pyright: ignore[reportPrivateImportUsage]
        store, _, _ = next(iter(meeting))
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"WORLD_SIZE={num_launched()} announces several processes, which cannot meet ({error}); "
            "start them with torchrun, or unset WORLD_SIZE"
        ) from error
    return store


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _is_on() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
