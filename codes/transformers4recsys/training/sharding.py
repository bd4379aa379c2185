"""A model in parts: each process holds its share of weights, gradients and optimizer state (PyTorch's fully_shard)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainingArguments

from transformers4recsys import distributed
from transformers4recsys.errors import InputError


def shard(model: nn.Module, device: torch.device) -> None:
    """Leave each process its part of every weight; the whole model is there from the forward to the backward pass.

    One group for all: the item table, nearly all of a large model, is needed from the first layer to the loss.
    """
    fully_shard(model, mesh=init_device_mesh(device.type, (distributed.world_size(),)))
    # So the Trainer knows that the model averages its own gradients and is not to be wrapped again.
    object.__setattr__(model, "is_distributed_loading_by_transformers", True)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Hold the whole model for a while, so that processes may call it as often as each likes; a no-op unsharded."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


def whole(tensors: Mapping[Any, Any]) -> dict[Any, Any]:
    """Give the sharded values whole to the first process, empty to the others; all call it, in the same order.

    Names are sorted: what was read from a file comes in another order in each process, and parts would be mixed up.
    """
    in_order = sorted(tensors.items(), key=lambda item: str(item[0]))
    return {name: _whole(value) if type(value) is DTensor else value for name, value in in_order}


def _whole(part: DTensor) -> Tensor:
    full = part.full_tensor()
    return full if distributed.is_main() else full.new_empty(0)


def full(value: Tensor) -> Tensor:
    """Give a tensor whole to every process, which all call it; one that is not sharded is itself."""
    return value.full_tensor() if type(value) is DTensor else value


def part(value: Any, like: Any) -> Any:
    """Give this process's part of a tensor that is whole everywhere, if `like`, of its shape, is sharded."""
    if type(like) is not DTensor or value.shape != like.shape:
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def require_processes(arguments: TrainingArguments) -> None:
    """Raise InputError where a model is to be shared out and there is one process."""
    if arguments.fsdp and distributed.world_size() == 1:
        raise InputError(
            "`fsdp` shares the model out among processes, and here is one: start with torchrun, or leave it out"
        )
