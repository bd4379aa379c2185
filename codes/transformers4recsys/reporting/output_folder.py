"""The output folder of a run: empty at the start, or taken over on request and never by accident."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers4recsys.errors import InputError
from transformers4recsys.settings import setting


@dataclass(frozen=True)
class OutputSettings:
    """Output: what becomes of an earlier run"""

    overwrite_output_dir: bool = setting(False, "start anew in an output folder that has results already")


RESULTS = (
    "train_results_dates.txt",
    "eval_results_dates.txt",
    "eval_results_avg_over_days.txt",
    "eval_train_results_dates.csv",
    "log.json",
    "pred_logs",
    "attention_weights",
    "profile",
    "model.safetensors",
    "config.json",
    "features.yaml",
    "optimizer.pt",
    "progress.json",
    "trainer_state.json",
)

# What a checkpoint writes under a hidden name first.
WRITTEN_ASIDE = (".????-??-??T*.model.safetensors", ".????-??-??T*.optimizer.pt", ".progress.json")


def start_anew(folder: Path, *, may_overwrite: bool) -> None:
    """Remove an earlier run's results from `folder`, or raise InputError where that was not asked for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output_dir {folder}: {error.strerror}; give a folder that can be written") from error
    earlier = [folder / name for name in RESULTS if (folder / name).exists()]
    earlier += sorted(folder.glob("checkpoint-*"))
    if earlier and not may_overwrite:
        raise InputError(
            f"--output_dir {folder} holds an earlier run ({earlier[0].name}); choose another folder, replace it with "
            "--overwrite_output_dir, or go on with --resume_from_checkpoint"
        )
    for path in earlier:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    remove_half_written(folder)


def remove_half_written(folder: Path) -> None:
    """Remove the hidden files that a run left which was killed while it wrote a checkpoint."""
    for pattern in WRITTEN_ASIDE:
        for path in folder.glob(pattern):
            path.unlink()
