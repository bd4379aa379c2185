"""Hugging Face's Trainer for jagged batches: our loader, our schedule, our evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import IterableDataset
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)
from transformers.training_args import OptimizerNames

from transformers4recsys import distributed
from transformers4recsys.baselines.model import BaselineModel
from transformers4recsys.batch import Batch, dummy_batch
from transformers4recsys.data.readers.protocol import Reader
from transformers4recsys.errors import InputError, in_one_line
from transformers4recsys.model.content import ItemData
from transformers4recsys.model.targets import TargetRule
from transformers4recsys.models import AnyModel
from transformers4recsys.schema import Schema
from transformers4recsys.settings import check, choose, setting
from transformers4recsys.training import sharding
from transformers4recsys.training.averaged_weights import AveragedWeights
from transformers4recsys.training.best_weights import BestWeights
from transformers4recsys.training.evaluation import Evaluation, OnAttentions, OnPredictions
from transformers4recsys.training.finite import FiniteWatch
from transformers4recsys.training.row_exchange import exchange_rows
from transformers4recsys.training.sparse_adamw import clip_gradients
from transformers4recsys.training.sparse_gradients import ItemUpdates

log = logging.getLogger(__name__)
MOVES_ALL_ITEMS = ItemUpdates()
SCHEDULES = {
    "constant_with_warmup": lambda optimizer, warmup, _, __: get_constant_schedule_with_warmup(optimizer, warmup),
    "linear_with_warmup": lambda optimizer, warmup, steps, _: get_linear_schedule_with_warmup(optimizer, warmup, steps),
    "cosine_with_warmup": get_cosine_schedule_with_warmup,
}


@dataclass(frozen=True)
class Schedule:
    """Learning rate: its schedule within a day"""

    learning_rate_schedule: str = setting("constant_with_warmup", "restarts each day", choices=lambda: SCHEDULES)
    learning_rate_warmup_steps: int = setting(0, "steps of rising learning rate at the start of a day", at_least=0)
    learning_rate_num_cosine_cycles_by_epoch: float = setting(1.25, "cosine waves an epoch")

    def __post_init__(self) -> None:
        check(self)


class EpochLoader(IterableDataset[dict[str, Batch]]):
    """Shows a reader to the Trainer as a loader that knows its epoch.

    To skip batches, the library makes a loader of its `dataset`: of batches, and so without a batch size.
    A rank without a row for the last step of an epoch takes part in it with a batch that teaches nothing.
    """

    batch_size, drop_last, prefetch_factor = None, False, None

    def __init__(self, reader: Reader, schema: Schema):
        self.reader, self.schema, self.epoch = reader, schema, 0

    @property
    def dataset(self) -> EpochLoader:
        return self

    def __len__(self) -> int:
        return self.reader.num_steps

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        dummies = [dummy_batch(self.schema)] * (self.reader.num_steps - len(self.reader))
        return ({"batch": batch} for batch in chain(self.reader.batches(self.epoch), dummies))


class RecSysTrainer(Trainer):
    """Trains on `train_reader` when told to; model and optimizer carry over from one `train()` to the next.

    Baselines `beside` the model are measured with it; what is known of `items` says how diverse lists are.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: AnyModel,
        args: TrainingArguments,
        *,
        schedule: Schedule,
        evaluation: Evaluation,
        callbacks: list[TrainerCallback],
        item_updates: ItemUpdates = MOVES_ALL_ITEMS,
        beside: Mapping[str, BaselineModel] = MappingProxyType({}),
        items: ItemData | None = None,
    ):
        optimizer = None
        if model.has_sparse_gradients:
            optimizer = item_updates.optimizer(self.get_optimizer_cls_and_kwargs(args)[1])
        try:
            super().__init__(model=model, args=args, callbacks=callbacks, optimizer_cls_and_kwargs=optimizer)
        except Exception as error:
            raise InputError(f"these settings do not go together here: {in_one_line(error)}") from error
        if self.accelerator.ddp_handler is not None:
            # Gradients lie where they are added up, in place of being copied there and back.
            self.accelerator.ddp_handler.gradient_as_bucket_view = True
        for shows_progress in (PrinterCallback, ProgressCallback):
            self.remove_callback(shows_progress)
        self.schedule, self.evaluation = schedule, evaluation
        self.watch = FiniteWatch(args.device, advice=_advice(args))
        self.schema, self.target_rule = model.schema, model.training_targets
        self.beside, self.items = beside, items
        if model.has_gradients:
            _try_optimizer(self)
        self.train_reader: Reader | None = None
        self.eval_reader: Reader | None = None
        self.best, self.average = BestWeights(), AveragedWeights()
        self.add_callback(self.average)
        self.save_inside_day: Callable[[], None] = lambda: None

    @property
    def has_left_last_step(self) -> bool:
        """Whether the day has ended with other weights than those of its last step, which cannot be saved any more."""
        return bool(self.best.weights or self.average.weights)

    def get_train_dataloader(self) -> EpochLoader:
        assert self.train_reader is not None, "train_reader is set before train()"
        return EpochLoader(self.train_reader, self.schema)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Start the schedule of one day, from the full learning rate again."""
        if self.lr_scheduler is None:
            optimizer = optimizer or self.optimizer  # pyright: ignore[reportAssignmentType]
            assert optimizer is not None
            for group in optimizer.param_groups:
                # A resumed optimizer brings the rate of its own run along.
                group["lr"] = group["initial_lr"] = self.args.learning_rate
            cycles = self.schedule.learning_rate_num_cosine_cycles_by_epoch * self.args.num_train_epochs
            make = choose(SCHEDULES, self.schedule.learning_rate_schedule, "learning_rate_schedule")
            self.lr_scheduler = make(optimizer, self.schedule.learning_rate_warmup_steps, num_training_steps, cycles)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Batch],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        output = model(**inputs)
        loss = output.loss
        if num_items_in_batch is not None:
            # Processes are averaged and micro-batches are added up, so this makes the mean over all targets of a step.
            own = _count_targets(self.target_rule, self.schema, inputs["batch"])
            loss = loss * (own * distributed.world_size() / num_items_in_batch)
        return (loss, output) if return_outputs else loss

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Read the micro-batches of one step and count the targets of all of them, over all processes."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if distributed.world_size() == 1 and len(samples) == 1:
            return samples, None
        counts = torch.stack([_count_targets(self.target_rule, self.schema, sample["batch"]) for sample in samples])
        return samples, distributed.sum_over_ranks(counts.sum().to(device))

    def _prepare_input(self, data: Any) -> Any:
        # The one value of our inputs is a Batch, which moves itself.
        return data.to(self.args.device) if type(data) is Batch else super()._prepare_input(data)

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:
        # The library has no norm of sparse gradients, nor of those of which each process has a part; and it passes over
        # all gradients once more where none is to be clipped.
        own = self.accelerator.unwrap_model(model)
        if own.shards is not None:
            return clip_gradients(model.parameters(), self.args.max_grad_norm, parts=own.weights_of_items.values())
        is_on_cpu = self.args.device.type == "cpu" and not isinstance(self.model, FSDPModule)
        if is_on_cpu or self.optimizer_cls_and_kwargs is not None:
            exchange_rows(own.weights_by_row.values())
            return clip_gradients(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        # The last place where a step can be stopped before it moves the weights.
        norm: Any = super()._get_grad_norm(model, grad_norm)
        # With a scaler, gradients overflow now and then, and such a step is left out.
        self.watch.see(self.state.global_step + 1, self._tr_loss, None if self.accelerator.scaler else norm)
        return norm

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Evaluate inside a day, as `validate_every` asks for; the numbers are logged, the best weights are kept.

        The last day has no next one, and no evaluation.
        """
        # The step is asked about again when its epoch ends.
        self.control.should_evaluate = False
        if self.eval_reader is None:
            return {}
        model = self.accelerator.unwrap_model(self.model)
        with self.average.in_place(model):
            numbers = self.measure(self.eval_reader, split="validation", description="validate")
            self.best.see(numbers[f"validation_{self.best.metric}"], epoch=self.state.epoch or 0, model=model)
        self.log(drop_none(numbers))
        log.info("epoch %g: %s", self.state.epoch, format_metrics(numbers, "validation", self.best.metric))
        if self.best.is_exhausted:
            self.control.should_training_stop = True
        return drop_none(numbers)

    def measure(
        self,
        reader: Reader,
        *,
        split: str,
        description: str,
        max_batches: int | None = None,
        on_predictions: OnPredictions | None = None,
        on_attentions: OnAttentions | None = None,
    ) -> dict[str, float | None]:
        """Evaluate the model as it is; the names of the numbers begin with `split`."""
        model = self.accelerator.unwrap_model(self.model)
        with sharding.gathered(model):
            numbers = self.evaluation.run(
                model,
                reader,
                device=self.args.device,
                autocast=lambda: self.accelerator.autocast(),
                description=description,
                max_batches=max_batches,
                on_predictions=on_predictions,
                on_attentions=on_attentions,
                beside=self.beside,
                items=self.items,
            )
        return {f"{split}_{name}": value for name, value in numbers.items()}

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        # The library would write pickles, under names that collide between days.
        self.save_inside_day()


def _count_targets(rule: TargetRule, schema: Schema, batch: Batch) -> Tensor:
    return rule.count(batch.columns[schema.item_id.name].lengths)


def _try_optimizer(trainer: Trainer) -> None:
    """Make the optimizer now: what it needs may be missing, which is to be known before anything is written."""
    try:
        trainer.create_optimizer()
    except Exception as error:
        raise InputError(
            f"`optim` {OptimizerNames(trainer.args.optim).value} cannot be used: {in_one_line(error)}"
        ) from error


def _advice(args: TrainingArguments) -> str:
    clip = f"`max_grad_norm` (now {args.max_grad_norm:g})" if args.max_grad_norm else "set `max_grad_norm` 1"
    precision = ", or take `bf16` in place of `fp16`" if args.fp16 else ""
    return f"Lower `learning_rate` (now {args.learning_rate:g}) or {clip}{precision}, and start again"


def format_metrics(numbers: dict[str, float | None], split: str, metric: str = "ndcg@20") -> str:
    """Say in a few words how good the model is; `split` begins the names of the numbers.

    These are recall and NDCG at the cut-off of `metric`, and the metric itself.
    """
    cutoff = metric.partition("@")[2]
    found = {name: numbers[f"{split}_{name}"] for name in (f"recall@{cutoff}", f"ndcg@{cutoff}", metric)}
    if None in found.values():
        return "no session of two or more items; the metrics are null"
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items())


def drop_none(numbers: dict[str, float | None]) -> dict[str, float]:
    """Leave out what has no value: TensorBoard and W&B take numbers alone."""
    return {name: value for name, value in numbers.items() if value is not None}
