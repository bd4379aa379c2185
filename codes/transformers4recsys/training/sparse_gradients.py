"""Whether gradients of item tables hold the rows of a batch alone: where asked for, and where it costs nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from transformers import TrainingArguments
from transformers.training_args import OptimizerNames

from transformers4recsys import distributed
from transformers4recsys.errors import InputError
from transformers4recsys.model.next_item import MANY_ITEMS, NextItemModel
from transformers4recsys.settings import setting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemUpdates:
    """Item tables: which of their rows a step moves"""

    sparse_item_updates: bool = setting(
        False,
        "large catalogues: a step moves the rows of item tables that it read, no others; not quite AdamW",
    )


def choose_gradients(model: NextItemModel, settings: ItemUpdates, arguments: TrainingArguments) -> None:
    """Make gradients sparse where that is asked for, or changes nothing but speed; InputError where it cannot be."""
    reads_all_items = model.objective.reads_all_items
    reasons = reasons_against_sparse_gradients(arguments)
    if settings.sparse_item_updates:
        if reads_all_items:
            reasons.insert(0, "`loss_type` reads all items; choose sampled_softmax, gbce or a pairwise loss")
        if reasons:
            raise InputError(f"`sparse_item_updates`: {reasons[0]}, or leave it out")
        model.make_gradients_sparse()
    elif len(model.output_weights) > MANY_ITEMS:
        is_tied = model.scorer.table is None
        is_read_by_row_alone = not (is_tied and reads_all_items)
        if is_read_by_row_alone and not reasons and arguments.device.type == "cpu":
            model.make_gradients_sparse()
        if not is_tied and not reads_all_items and not reasons:
            log.info("`sparse_item_updates` makes steps over %d items faster; see --help", len(model.output_weights))


def reasons_against_sparse_gradients(arguments: TrainingArguments) -> list[str]:
    """Say what needs whole gradients here."""
    reasons = {
        "several processes add up whole gradients": distributed.world_size() > 1,
        f"`optim` {OptimizerNames(arguments.optim).value} is not AdamW": arguments.optim
        not in ("adamw_torch", "adamw_torch_fused"),
        "`max_grad_norm` must be more than 0": not arguments.max_grad_norm,
        "`fp16` scales whole gradients; take `bf16`": arguments.fp16,
        "`torch_compile` does not know sparse gradients": arguments.torch_compile,
    }
    return [reason for reason, holds in reasons.items() if holds]
