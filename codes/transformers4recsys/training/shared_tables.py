"""Item tables shared out over processes: each keeps some of their rows, with gradients and optimizer state."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from transformers4recsys import distributed
from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings
from transformers4recsys.models import AnyModel, is_baseline
from transformers4recsys.row_shards import RowShards, SharedTable
from transformers4recsys.tensor_file import TensorFile, in_order

log = logging.getLogger(__name__)
# Losses whose processes look rows up together, whether or not each has something to predict.
LOSSES = ("cross_entropy", "sampled_softmax", "gbce")
# They treat each number by itself, whichever process holds it.
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")


def require_shareable(model: ModelSettings, arguments: TrainingArguments, *, asks_fp16: bool) -> None:
    """Raise InputError that names all that tables which are shared out do not go with.

    `asks_fp16` says whether half precision was asked for, which `arguments` have on CUDA GPUs alone.
    """
    optimizer, loss = OptimizerNames(arguments.optim).value, model.loss.loss_type
    reads_all_items = loss == "cross_entropy"
    reasons = {
        f"`model_type` {model.choice.model_type}, which has no item table": is_baseline(model),
        f"`loss_type` {loss} (it takes {', '.join(LOSSES)})": loss not in LOSSES,
        "`mlm` or `plm` with `loss_type` cross_entropy": model.targets.task != "causal" and reads_all_items,
        f"`optim` {optimizer} (it takes {', '.join(OPTIMIZERS)})": optimizer not in OPTIMIZERS,
        "`item_features` or `item_vectors`": model.content.is_on,
        "`rtd`": model.targets.rtd,
        "`unknown_share`": model.features.unknown_share > 0,
        "`use_ohe_item_ids_inputs`": model.features.use_ohe_item_ids_inputs,
        "`fsdp`": bool(arguments.fsdp),
        "`fp16`": asks_fp16,
        "`torch_compile`": arguments.torch_compile,
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise InputError(f"`shard_item_tables` does not go with {'; '.join(found)}: leave one of them out")


def shards_of(num_items: int) -> RowShards | None:
    """Say which rows of item tables are those of this process; None where there is but one, which has all of them.

    `num_items` counts padding. Raise InputError if there are fewer items than processes.
    """
    num_processes = distributed.world_size()
    if num_processes == 1:
        log.warning("`shard_item_tables` has no effect here: one process holds all rows")
        return None
    if num_items - 1 < num_processes:
        raise InputError(
            f"`shard_item_tables` gives each process an item at least, and {num_processes} processes have "
            f"{num_items - 1}: leave it out, or start fewer processes"
        )
    return RowShards(num_items, distributed.rank(), num_processes)


def shared_weights(model: AnyModel) -> Mapping[str, nn.Parameter]:
    """Give the weights, by name, of which each process has some rows."""
    if model.has_gradients is False or model.shards is None:
        return {}
    return model.weights_of_items


def as_written(tensors: Mapping[str, Tensor], model: AnyModel) -> dict[str, Tensor | SharedTable]:
    """Give weights by name for a file, in which those that are shared out are whole."""
    shared = shared_weights(model)
    return {name: _of_all(tensor, model) if name in shared else tensor for name, tensor in tensors.items()}


def state_as_written(value: Tensor, weight: nn.Parameter, model: AnyModel) -> Tensor | SharedTable:
    """Give what an optimizer keeps of a weight for a file, in which it is whole."""
    is_shared = any(weight is each for each in shared_weights(model).values())
    return _of_all(value, model) if is_shared and value.ndim == weight.ndim else value


def send_rows(tensors: Mapping[str, Tensor | SharedTable], _: Path) -> None:
    """Hand what this process has of shared tables to the first one, which writes the file."""
    for _name, tensor in in_order(tensors):
        if isinstance(tensor, SharedTable):
            tensor.send()


def read_part(tensors: TensorFile, name: str, part: Tensor, shards: RowShards) -> None:
    """Fill the part of this process; rows that the file does not have stay as they are."""
    tensors.read_rows_into(name, 0, part[:1])
    tensors.read_rows_into(name, shards.own.start, part[1:])


def part_in(tensors: TensorFile, name: str, shards: RowShards | None) -> Tensor:
    """Read the part of this process, followed by zeros where the file has fewer rows."""
    assert shards is not None
    part = tensors.zero_rows(name, shards.num_rows)
    read_part(tensors, name, part, shards)
    return part


def _of_all(part: Tensor, model: AnyModel) -> SharedTable:
    assert model.shards is not None
    return SharedTable(part, model.shards)
