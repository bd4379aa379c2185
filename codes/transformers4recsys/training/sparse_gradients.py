"""Whether gradients of item tables hold the rows of a batch alone: where asked for, and where it costs nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from transformers4recsys.errors import InputError
from transformers4recsys.model.next_item import MANY_ITEMS, NextItemModel
from transformers4recsys.settings import check, setting
from transformers4recsys.training.row_exchange import leave_to_exchange
from transformers4recsys.training.rowwise_adagrad import RowwiseAdagrad
from transformers4recsys.training.sparse_adamw import SparseAdamW

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemUpdates:
    """Item tables: which of their rows a step moves"""

    sparse_item_updates: bool = setting(
        False,
        "large catalogues: a step moves the rows of item tables that it read, no others; not quite AdamW",
    )
    item_optimizer: str = setting(
        "adamw",
        "what moves item tables: adamw, with two numbers of state for each of theirs; or rowwise_adagrad, with one a "
        "row and by the rows that a step read alone, where the two would not fit",
        choices=("adamw", "rowwise_adagrad"),
        if_changed="refuse",
    )
    item_learning_rate: float | None = setting(
        None,
        "learning rate of rowwise_adagrad; without it that of all weights",
        above=0,
        used_if=lambda own: own.item_optimizer == "rowwise_adagrad",
        unused_because="`item_optimizer` is adamw",
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def asked_for(self) -> str | None:
        """The setting that asks for sparse gradients, whatever else speaks for them or against them."""
        if self.item_optimizer != "adamw":
            return "item_optimizer"
        return "sparse_item_updates" if self.sparse_item_updates else None

    def optimizer(self, settings: dict[str, Any]) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Give what moves weights of which some have sparse gradients, and its settings, those of AdamW among them."""
        if self.item_optimizer == "adamw":
            return SparseAdamW, settings | {"is_lazy": self.sparse_item_updates}
        rate = settings["lr"]
        return RowwiseAdagrad, settings | {"rate_ratio": (self.item_learning_rate or rate) / rate if rate else 1.0}


def require_possible(
    settings: ItemUpdates, arguments: TrainingArguments, *, reads_all_items: bool, asks_fp16: bool = False
) -> None:
    """Raise InputError where sparse gradients are asked for and cannot be; `reads_all_items` says it of the loss.

    With `asks_fp16`, half precision was asked for, which `arguments` have on CUDA GPUs alone.
    """
    if not settings.asked_for:
        return
    reasons = reasons_against_sparse_gradients(arguments, asks_fp16=asks_fp16)
    if reads_all_items:
        reasons.insert(0, "`loss_type` reads all items; choose sampled_softmax, gbce or a pairwise loss")
    if reasons:
        raise InputError(f"`{settings.asked_for}`: {reasons[0]}, or leave `{settings.asked_for}` out")


def choose_gradients(model: NextItemModel, settings: ItemUpdates, arguments: TrainingArguments) -> None:
    """Make gradients sparse where that is asked for, or changes nothing but speed; InputError where it cannot be."""
    reads_all_items = model.objective.reads_all_items
    require_possible(settings, arguments, reads_all_items=reads_all_items)
    if settings.asked_for:
        model.make_gradients_sparse()
    elif len(model.item_counts) > MANY_ITEMS:
        reasons = reasons_against_sparse_gradients(arguments)
        is_tied = model.scorer.table is None
        is_read_by_row_alone = not (is_tied and reads_all_items)
        if is_read_by_row_alone and not reasons and arguments.device.type == "cpu":
            model.make_gradients_sparse()
        if not is_tied and not reads_all_items and not reasons:
            log.info("`sparse_item_updates` makes steps over %d items faster; see --help", len(model.item_counts))
    leave_to_exchange(model)


def reasons_against_sparse_gradients(arguments: TrainingArguments, *, asks_fp16: bool = False) -> list[str]:
    """Say what needs whole gradients here."""
    reasons = {
        "`fsdp` adds up whole gradients; train without it": bool(arguments.fsdp),
        f"`optim` {OptimizerNames(arguments.optim).value} is not AdamW; choose adamw_torch_fused": arguments.optim
        not in ("adamw_torch", "adamw_torch_fused"),
        "`max_grad_norm` must be more than 0; give a norm": not arguments.max_grad_norm,
        "`fp16` scales whole gradients; take `bf16`": arguments.fp16 or asks_fp16,
        "`torch_compile` does not know sparse gradients; train without it": arguments.torch_compile,
    }
    return [reason for reason, holds in reasons.items() if holds]
