"""What a run that stopped after some day needs to go on with the next one."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open

from transformers4recsys import distributed
from transformers4recsys.errors import InputError
from transformers4recsys.training import sharding
from transformers4recsys.training.trainer import RecSysTrainer

WEIGHTS, OPTIMIZER, PROGRESS = "model.safetensors", "optimizer.pt", "progress.json"


@dataclass(frozen=True)
class Progress:
    """The last day trained on (ISO), and the optimizer steps of all days so far."""

    last_day: str
    num_steps: int


def save(trainer: RecSysTrainer, folder: Path, *, day: datetime, num_steps: int) -> None:
    """Write weights, optimizer and progress; each file aside first, so that none is ever half-written.

    The day counts from the moment when its progress is in place: read_progress() puts the rest there after a kill.
    Every process calls it, the first one writes; the files do not tell whether the model was sharded.
    """
    progress = Progress(day.isoformat(), num_steps)
    model = trainer.accelerator.unwrap_model(trainer.model)
    scaler = trainer.accelerator.scaler
    optimizer = trainer.optimizer
    assert optimizer is None or isinstance(optimizer, torch.optim.Optimizer)
    trainer.watch.check_model(model, optimizer, trainer.state.global_step)
    state = {
        "last_day": progress.last_day,
        "optimizer": _whole_state(optimizer) if optimizer else None,
        "scaler": scaler.state_dict() if scaler else None,
    }
    weights = {name: weight.contiguous() for name, weight in sharding.whole(model.state_dict()).items()}
    if not distributed.is_main():
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = {"format": "pt", "last_day": progress.last_day}
    safetensors.torch.save_file(weights, _aside(folder, WEIGHTS, progress), names)
    torch.save(state, _aside(folder, OPTIMIZER, progress))
    (folder / f".{PROGRESS}").write_text(json.dumps(asdict(progress), indent=2) + "\n")
    os.replace(folder / f".{PROGRESS}", folder / PROGRESS)
    _put_in_place(folder, progress)
    trainer.state.save_to_json(str(folder / "trainer_state.json"))


def read_progress(folder: Path) -> Progress:
    """Say how far the run in `folder` came; every process calls it."""
    try:
        progress = Progress(**json.loads((folder / PROGRESS).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--resume_from_checkpoint {folder}: no finished day to go on from ({PROGRESS}: {error}); "
            "give the --output_dir of a run that finished a day, or start anew with --overwrite_output_dir"
        ) from error
    if distributed.is_main():
        _put_in_place(folder, progress)
    distributed.barrier()
    with safe_open(folder / WEIGHTS, "pt") as weights:
        if (weights.metadata() or {}).get("last_day") != progress.last_day:
            raise InputError(f"{folder}: {WEIGHTS} and {PROGRESS} are of different days; start anew")
    return progress


def load(trainer: RecSysTrainer, folder: Path) -> None:
    """Put weights and optimizer of `folder` into a trainer that was built with the same flags."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    load_weights(model, folder)
    state = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
    if state["optimizer"] is not None:
        optimizer = trainer.create_optimizer()
        optimizer.load_state_dict(_own_part(state["optimizer"], optimizer))
    if state["scaler"] is not None and trainer.accelerator.scaler is not None:
        trainer.accelerator.scaler.load_state_dict(state["scaler"])


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Read the weights of `folder` into `model`; InputError where they are of another shape."""
    own = model.state_dict()
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        model.load_state_dict({name: sharding.part(weight, own.get(name)) for name, weight in weights.items()})
    except FileNotFoundError as error:
        raise InputError(f"{folder} has no {WEIGHTS}; give the --output_dir of a finished run") from error
    except RuntimeError as error:
        raise InputError(f"{folder}/{WEIGHTS} was trained with other flags or features: {error}") from error


def _aside(folder: Path, name: str, progress: Progress) -> Path:
    return folder / f".{progress.last_day}.{name}"


def _put_in_place(folder: Path, progress: Progress) -> None:
    for name in (WEIGHTS, OPTIMIZER):
        if _aside(folder, name, progress).exists():
            os.replace(_aside(folder, name, progress), folder / name)


def _whole_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state = optimizer.state_dict()
    return state | {"state": {number: sharding.whole(values) for number, values in state["state"].items()}}


def _own_part(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    # An optimizer numbers its weights in the order of its groups.
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    parts = {
        number: {name: sharding.part(value, weights[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    return state | {"state": parts}
