"""TensorBoard, W&B and others: the library's callbacks, opened where and as the documentation says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
)

from transformers4recsys.errors import InputError
from transformers4recsys.reporting import wandb_runs
from transformers4recsys.settings import setting


@dataclass(frozen=True)
class LoggerSettings:
    """Loggers: how runs are grouped"""

    experiments_group: str = setting("default", "group of runs in W&B")


# Of names of folders; file systems take 255 bytes.
LONGEST_NAME = 100
# With one relevant item its values are those of mrr.
SAME_AS_MRR = "avg_precision@"


class SectionedWriter(SummaryWriter):
    """Writes what equals mrr into a section of its own: by their names, its pictures would come first."""

    def add_scalar(
        self,
        tag: str,
        scalar_value: float,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        name = f"same_as_mrr/{tag.replace('/', '_')}" if SAME_AS_MRR in tag else tag
        super().add_scalar(name, scalar_value, global_step, walltime, new_style, double_precision)


def chosen_loggers(report_to: list[str]) -> list[str]:
    """Replace "auto": TensorBoard always, W&B where it is installed and set up."""
    if report_to != ["auto"]:
        return report_to
    return ["tensorboard", "wandb"] if wandb_runs.is_set_up() else ["tensorboard"]


def open_loggers(
    names: Sequence[str], *, group: str, run_name: str, settings: Mapping[str, Any]
) -> list[TrainerCallback]:
    """Open TensorBoard in runs/, W&B in wandb/, or any other logger that the library knows.

    Where W&B cannot be used at all TensorBoard takes its place: no run stops for it, and none is without a log.
    """
    opened = []
    for name in dict.fromkeys(names):
        if name == "wandb":
            opened.append(wandb_runs.open_run(group=group, run_name=run_name, settings=settings))
        elif name != "tensorboard":
            opened.append(_other(name))
    if "tensorboard" in names or None in opened:
        opened.append(_tensorboard(run_name))
    return [callback for callback in opened if callback is not None]


def _tensorboard(run_name: str) -> TrainerCallback:
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{safe_name(run_name)}"
    try:
        return TensorBoardCallback(SectionedWriter(str(new_folder(Path("runs"), name))))
    except OSError as error:
        raise InputError(
            f"runs/{name} cannot be written ({error.strerror}): TensorBoard's files go there. Start in another folder, "
            "or give `report_to` none"
        ) from error


def _other(name: str) -> TrainerCallback:
    if name not in INTEGRATION_TO_CALLBACK:
        raise InputError(f"`report_to` {name} is unknown; choose among {', '.join(sorted(INTEGRATION_TO_CALLBACK))}")
    # Some cannot be made without their package, and cannot be thrown away either.
    usable = get_available_reporting_integrations()
    if name not in usable:
        raise InputError(f"`report_to` {name}: its package is not installed; install it, or choose {', '.join(usable)}")
    try:
        return INTEGRATION_TO_CALLBACK[name]()
    except Exception as error:
        raise InputError(f"`report_to` {name}: {error}") from error


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder of this name, or with a number behind it where another run has it."""
    for number in count(1):
        folder = parent / (name if number == 1 else f"{name}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            return folder
    raise AssertionError("numbers do not end")


def safe_name(name: str) -> str:
    """Leave what a name of one folder may hold on every system: no separators, none that leads out of its folder."""
    return re.sub(r"[^\w .,=+@()-]", "_", name).strip(". ")[:LONGEST_NAME] or "run"
