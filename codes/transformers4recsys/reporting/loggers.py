"""TensorBoard and W&B: the library's callbacks, opened where and as the documentation says."""

from __future__ import annotations

import importlib.util
import netrc
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations.integration_utils import (
    TensorBoardCallback,
    WandbCallback,
    get_reporting_integration_callbacks,
)

from transformers4recsys.errors import InputError

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
    return ["tensorboard", "wandb"] if _is_wandb_set_up() else ["tensorboard"]


def open_logger(name: str, *, group: str, run_name: str, settings: Mapping[str, Any]) -> TrainerCallback:
    """Open TensorBoard in runs/, W&B in wandb/, or any other logger that the library knows."""
    if name == "tensorboard":
        folder = Path("runs", f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{run_name}")
        return TensorBoardCallback(SectionedWriter(str(folder)))
    if name == "wandb":
        return _wandb(group, run_name, settings)
    try:
        (callback,) = get_reporting_integration_callbacks([name])
    except (ValueError, RuntimeError, ImportError) as error:
        raise InputError(f"`report_to` {name}: {error}") from error
    return callback()


def close_wandb() -> None:
    """End the W&B run, if one was opened, so that its files are whole."""
    if importlib.util.find_spec("wandb"):
        import wandb

        wandb.finish()


def _wandb(group: str, run_name: str, settings: Mapping[str, Any]) -> TrainerCallback:
    if not importlib.util.find_spec("wandb"):
        raise InputError("`report_to` wandb: W&B is not installed; run `pip install wandb`, or leave it out")
    import wandb

    if os.environ.get("WANDB_MODE") == "dryrun":
        # The older name of the same thing.
        os.environ["WANDB_MODE"] = "offline"
    wandb.init(
        project=os.environ.get("WANDB_PROJECT", "transformers4recsys"),
        group=group,
        name=run_name,
        config=dict(settings),
    )
    return WandbCallback()


def _is_wandb_set_up() -> bool:
    if not importlib.util.find_spec("wandb"):
        return False
    if {"WANDB_MODE", "WANDB_API_KEY"} & os.environ.keys():
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
