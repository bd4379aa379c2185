"""The state of training as tensors and JSON, to the bit: weights, optimizer, position in the day, random numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from transformers4recsys import distributed
from transformers4recsys.errors import InputError
from transformers4recsys.model.content import DATA
from transformers4recsys.model.growth import ITEM_COUNTS, SESSION_COUNTS, SHIFT, has_more_rows, place_new_rows
from transformers4recsys.model.negatives import NegativeStore
from transformers4recsys.models import AnyModel
from transformers4recsys.row_shards import RowShards, SharedTable
from transformers4recsys.run_files import MANIFEST, OLD_STATE, Content
from transformers4recsys.tensor_file import TensorFile, write_tensors
from transformers4recsys.training import sharding, shared_tables
from transformers4recsys.training.inside_day import Position
from transformers4recsys.training.trainer import RecSysTrainer

WEIGHTS, TENSORS, STATE = "model.safetensors", "training_state.safetensors", "training_state.json"
# Of an optimizer's group these follow the flags of today; the rest is what it has come to know by itself.
HYPERPARAMETERS = ("params", "lr", "initial_lr", "weight_decay", "betas", "eps", "momentum", "fused", "foreach")
# Weights of a loss; another loss has others.
OF_LOSS = "objective."


@dataclass(frozen=True)
class TrainingState:
    """What training_state.json and training_state.safetensors hold; `position` only inside a day."""

    tensors: TensorFile
    optimizer: Mapping[str, Any] | None
    scaler: Mapping[str, Any] | None
    position: Position | None
    best: Mapping[str, Any] | None = None
    # How many steps the average of the weights has seen.
    num_averaged: int = 0


def contents(trainer: RecSysTrainer, position: Position | None = None) -> dict[str, Content]:
    """Collect weights and state of training, whole and by the names of their files.

    Every process calls it; the first one gets the contents. They do not tell whether the model was sharded. The others
    get what is to be called while it writes: it sends their rows of tables that are shared out.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    optimizer = _inner(trainer.optimizer) if trainer.optimizer else None
    trainer.watch.check_model(model, optimizer, trainer.state.global_step)
    weights = shared_tables.as_written(sharding.whole(model.state_dict()), model)
    beside: dict[str, Content] = {
        of_baseline(name): partial(safetensors.torch.save_file, baseline.state_dict())
        for name, baseline in trainer.beside.items()
    }
    tensors, optimizer_state = _optimizer_state(optimizer, model) if optimizer else ({}, None)
    if position:
        tensors |= {f"random/{name}": numbers for name, numbers in _gathered(random_states()).items()}
        for number, store in enumerate(_stores(model)):
            tensors |= {f"negatives/{number}/{name}": value for name, value in store.state().items()}
        for kind, kept in {"best": trainer.best.weights, "average": trainer.average.weights}.items():
            written = shared_tables.as_written(sharding.whole(kept), model)
            tensors |= {f"{kind}/{name}": weight for name, weight in written.items()}
    if not distributed.is_main():
        parts = {WEIGHTS: weights, TENSORS: tensors} if model.shards else {}
        return {name: partial(shared_tables.send_rows, part) for name, part in parts.items()}
    scaler = trainer.accelerator.scaler
    state = {
        "optimizer": optimizer_state,
        "scaler": scaler.state_dict() if scaler else None,
        "position": asdict(position) if position else None,
        "best": trainer.best.state() if position else None,
        "num_averaged": trainer.average.num_steps if position else 0,
    }
    return beside | {
        WEIGHTS: partial(write_tensors, weights, metadata={"format": "pt"}),
        TENSORS: partial(write_tensors, tensors),
        STATE: f"{json.dumps(state, indent=2)}\n".encode(),
    }


def of_baseline(name: str) -> str:
    """Name the file that holds what a baseline beside the model has counted."""
    return f"baselines/{name}.safetensors"


def read_state(tensors: TensorFile, text: bytes, *, where: Path) -> TrainingState:
    """Make the state of the contents of its two files."""
    try:
        state = json.loads(text)
        position = Position(**state["position"]) if state["position"] else None
        since = state.get("best"), state.get("num_averaged", 0)
        return TrainingState(tensors, state["optimizer"], state["scaler"], position, *since)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where / STATE} was written by another version of this program: {error}") from error


def is_saved_run(name: str | None) -> bool:
    """Say whether `name` is the output folder of a run, not a model of the library."""
    folder = Path(name or "").expanduser()
    return bool(name) and ((folder / MANIFEST).is_file() or (folder / OLD_STATE).is_file())


@torch.no_grad()
def load_weights(
    model: AnyModel, weights: TensorFile, *, where: Path, policy: str = "mean", groups: Sequence[Tensor] = ()
) -> None:
    """Put whole weights into `model`; those of another loss stay out, any others that do not fit are an InputError.

    Tables of ids that have more rows in `model` grow, as `policy` and `groups` say (see `growth.place_new_rows`).
    What the model knows of items beside their clicks was read for it, and stays. Sessions that hold an item, and clicks
    of the last day, are counted from here on where they were not.
    """
    own = {name: value for name, value in model.state_dict().items() if not name.startswith(DATA)}
    shapes = {name: value.shape for name, value in shared_tables.as_written(own, model).items()}
    saved = {name: weights.shape(name) for name in weights if not name.startswith(DATA)}
    larger = {name for name in own.keys() & saved.keys() if has_more_rows(name, shapes[name], saved[name])}
    fitting = {name for name in own.keys() & saved.keys() if shapes[name] == saved[name]} | larger
    begun = {SESSION_COUNTS} - saved.keys()
    others = (own.keys() | saved.keys()) - begun - fitting
    misfits = sorted(name for name in others if not name.startswith((OF_LOSS, SHIFT)))
    if misfits:
        raise InputError(
            f"{where / WEIGHTS} does not fit this model: {', '.join(misfits[:5])}"
            f"{', ...' if len(misfits) > 5 else ''}; give the flags and features that it was trained with"
        )
    counts_R = weights[ITEM_COUNTS] if larger and ITEM_COUNTS in weights else None
    for name in sorted(fitting):
        table = sharding.full(own[name])
        shards = model.shards if name in shared_tables.shared_weights(model) else None
        if shards is not None:
            shared_tables.read_part(weights, name, table, shards)
        else:
            weights.read_into(name, table)
        if name in larger:
            num_saved = saved[name][0]
            # A table whose rows are items is told by its length; what never occurred has not been trained.
            is_of_items = counts_R is not None and num_saved == len(counts_R)
            is_known_R = counts_R > 0 if is_of_items and counts_R is not None else torch.arange(num_saved) > 0
            of_items = groups if is_of_items else ()
            place_new_rows(table, is_known_R, policy=policy, groups=of_items, shards=shards)
        if table is not own[name]:
            own[name].copy_(sharding.part(table, own[name]))


def load_optimizer(trainer: RecSysTrainer, state: TrainingState) -> bool:
    """Give the optimizer its state back; False where another kind of optimizer starts anew instead.

    Hyperparameters are those of the trainer's flags: they may have changed.
    """
    optimizer = _inner(trainer.create_optimizer())
    if state.scaler is not None and trainer.accelerator.scaler is not None:
        trainer.accelerator.scaler.load_state_dict(dict(state.scaler))
    if state.optimizer is None:
        return True
    own_kinds, saved_kinds = _kinds(optimizer), state.optimizer["kinds"]
    if own_kinds[0] not in saved_kinds and saved_kinds[0] not in own_kinds:
        return False
    model = trainer.accelerator.unwrap_model(trainer.model)
    names = _names_of(model)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    own = optimizer.state_dict()
    values: dict[int, dict[str, Any]] = {}
    for number, weight in enumerate(weights):
        prefix = f"optimizer/{names[weight]}/"
        saved = {key.removeprefix(prefix): key for key in state.tensors if key.startswith(prefix)}
        shards = model.shards if names[weight] in shared_tables.shared_weights(model) else None
        found = {key: _of_rows(state.tensors, name, names[weight], weight, shards) for key, name in saved.items()}
        found |= state.optimizer["numbers"].get(names[weight], {})
        if found:
            values[number] = {key: sharding.part(value, weight) for key, value in found.items()}
    groups = [
        group | {key: value for key, value in saved.items() if key not in HYPERPARAMETERS}
        for group, saved in zip(own["param_groups"], state.optimizer["groups"], strict=False)
    ]
    optimizer.load_state_dict({"state": values, "param_groups": groups})
    return True


def load_kept(trainer: RecSysTrainer, state: TrainingState) -> None:
    """Let the best and the averaged weights of a day go on from what its earlier steps found."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if state.best and trainer.best.patience:
        trainer.best.load(state.best, _kept(state, "best", model))
    if state.num_averaged and trainer.average.decay:
        trainer.average.load(state.num_averaged, _kept(state, "average", model))


def _kept(state: TrainingState, kind: str, model: AnyModel) -> dict[str, Tensor]:
    """Read the weights of that kind, of shared tables the rows of this process."""
    own, shared = model.state_dict(), shared_tables.shared_weights(model)
    return {
        name: shared_tables.part_in(state.tensors, f"{kind}/{name}", model.shards).to(own[name].device)
        if name in shared
        else sharding.part(state.tensors[f"{kind}/{name}"], own[name])
        for name in own
        if f"{kind}/{name}" in state.tensors
    }


def _of_rows(
    tensors: TensorFile, name: str, weight_name: str, weight: Tensor, shards: RowShards | None = None
) -> Tensor:
    """Read what an optimizer keeps of a table, with as many rows as the table has now; those of new ids are 0."""
    if shards is not None and len(tensors.shape(name)) == weight.ndim:
        return shared_tables.part_in(tensors, name, shards)
    num_rows = tensors.shape(name)[:1]
    # A number for each row grows like the row itself.
    is_of_rows = len(tensors.shape(name)) == weight.ndim and has_more_rows(
        weight_name, weight.shape, num_rows + weight.shape[1:]
    )
    return tensors.with_zero_rows(name, weight.shape[0]) if is_of_rows else tensors[name]


def _under(tensors: TensorFile, prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names begin with `prefix`, which is left out."""
    return {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}


def random_states() -> dict[str, Tensor]:
    """Give the states of all random numbers of this process, each as a row of whole numbers."""
    _, words, gauss = random.getstate()
    state: Any = np.random.get_state(legacy=True)
    kind, keys, place, has_gauss, cached = state
    assert kind == "MT19937"
    states = {
        "python": torch.tensor([*words, gauss is not None, _bits(gauss or 0.0)]),
        "numpy": torch.tensor([*keys.tolist(), place, has_gauss, _bits(cached)]),
        "torch": torch.get_rng_state().long(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state().long()
    return states


def restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Go on drawing from where random_states() was called."""
    *words, has_gauss, gauss = states["python"].tolist()
    random.setstate((3, tuple(words), _number(gauss) if has_gauss else None))
    *keys, place, has_gauss, cached = states["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), place, has_gauss, _number(cached)))
    torch.set_rng_state(states["torch"].byte())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].byte())


def restore_random(state: TrainingState, model: AnyModel) -> None:
    """Go on with the random numbers of this process, and the negatives drawn ahead, as they were at the position.

    With another number of processes than before, those that are new keep the seed of the day.
    """
    of_all = _under(state.tensors, "random/")
    if of_all and distributed.rank() < len(of_all["python"]):
        restore_random_states({name: value[distributed.rank()] for name, value in of_all.items()})
    for number, store in enumerate(_stores(model)):
        found = _under(state.tensors, f"negatives/{number}/")
        if found:
            store.restore(found, model.item_counts)


def _stores(model: nn.Module) -> list[NegativeStore]:
    return [module for module in model.modules() if type(module) is NegativeStore]


def _optimizer_state(
    optimizer: torch.optim.Optimizer, model: AnyModel
) -> tuple[dict[str, Tensor | SharedTable], dict[str, Any]]:
    """Give tensors by `optimizer/WEIGHT/NAME`, and all else for JSON."""
    names = _names_of(model)
    tensors: dict[str, Tensor | SharedTable] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for group in optimizer.param_groups:
        for weight in group["params"]:
            values = sharding.whole(optimizer.state.get(weight, {}))
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{names[weight]}/{key}"] = shared_tables.state_as_written(value, weight, model)
                else:
                    numbers.setdefault(names[weight], {})[key] = value
    groups = [group | {"params": [names[weight] for weight in group["params"]]} for group in optimizer.param_groups]
    return tensors, {"kinds": _kinds(optimizer), "groups": groups, "numbers": numbers}


def _inner(optimizer: Any) -> torch.optim.Optimizer:
    return optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer


def _kinds(optimizer: torch.optim.Optimizer) -> list[str]:
    """Name the class and those it was made from: AdamW and our sparse one share their state."""
    return [each.__name__ for each in type(optimizer).__mro__ if each not in (torch.optim.Optimizer, object)]


def _names_of(model: nn.Module) -> dict[Tensor, str]:
    return {weight: name for name, weight in model.named_parameters()}


def _gathered(states: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the rows of all processes below each other."""
    gathered = {}
    for name, row in states.items():
        rows = row.new_zeros(distributed.world_size(), len(row))
        rows[distributed.rank()] = row
        gathered[name] = distributed.sum_over_ranks(rows)
    return gathered


def _bits(number: float) -> int:
    return int(np.float64(number).view(np.int64))


def _number(bits: int) -> float:
    return float(np.int64(bits).view(np.float64))
