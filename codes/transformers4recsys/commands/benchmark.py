"""Measures speed and memory on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import torch

from transformers4recsys.benchmarking.measure import SetUp
from transformers4recsys.benchmarking.picture import draw
from transformers4recsys.benchmarking.sweep import run_all, sweep, table_of
from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.objectives import OBJECTIVES
from transformers4recsys.settings import check, from_values, setting
from transformers4recsys.terminal import progress_bar, show_result


@dataclass(frozen=True)
class BenchmarkSettings:
    """Benchmark: speed and memory of loading, training and evaluation on made-up sessions, a process a run"""

    output: str = setting("benchmark", "folder of benchmark.csv, which gets a line a run, and benchmark.png")
    items: tuple[int, ...] = setting((10_000, 50_000), "catalogue sizes")
    lengths: tuple[float, ...] = setting((5.5, 12.0), "mean session lengths, up to 20")
    sessions: tuple[int, ...] = setting((100_000, 400_000), "sessions in the file")
    losses: tuple[str, ...] = setting(
        ("cross_entropy",),
        "as loss_type of train; sampled ones with sparse_item_updates",
        choices=lambda: OBJECTIVES,
    )
    precisions: tuple[str, ...] = setting(
        ("fp32", "bf16"), "of products; fp16 needs a GPU", choices=("fp32", "bf16", "fp16")
    )
    model_type: str = setting("gpt2", "encoder", choices=lambda: ENCODERS)
    d_model: int = setting(128, "width of the encoder and of the item tables", at_least=1)
    n_layer: int = setting(2, "layers", at_least=1)
    n_head: int = setting(4, "attention heads", at_least=1)
    batch_size: int = setting(256, "sessions a step", at_least=1)
    steps: int = setting(30, "measured steps of a run", at_least=1)
    repeats: int = setting(3, "runs of each set-up; medians are shown", at_least=1)
    threads: int = setting(0, "threads; 0 for one a core", at_least=0)
    workload: str | None = setting(None, "parquet file with a list column named items, in place of made-up sessions")
    baseline: str | None = setting(None, "script to run beside each run, which takes the same sizes and prints JSON")

    def __post_init__(self) -> None:
        check(self)
        if min(self.items) < 2 or min(self.sessions) < 100 or not 2 < min(self.lengths) <= max(self.lengths) <= 20:
            raise InputError("`items` from 2, `sessions` from 100, `lengths` between 2 and 20")
        if 0.9 * min(self.sessions) < self.batch_size:
            raise InputError(
                f"`sessions` {min(self.sessions)}: nine tenths of them have to fill a `batch_size` of {self.batch_size}"
            )
        if "fp16" in self.precisions and not torch.cuda.is_available():
            raise InputError("`precisions` fp16 needs a GPU; bf16 works on the CPU")


SETTINGS = BenchmarkSettings


def run(values: Mapping[str, Any]) -> None:
    """Measure with settings by name."""
    benchmark(from_values(BenchmarkSettings, values))


def benchmark(arguments: BenchmarkSettings) -> None:
    """Measure every set-up that the flags describe; show the table, write CSV and picture."""
    for path in (arguments.baseline, arguments.workload):
        if path and not Path(path).expanduser().is_file():
            raise InputError(f"{path} is not there; give a file, or leave the setting out")
    if not find_spec("matplotlib"):
        raise InputError("the picture needs matplotlib: pip install matplotlib")
    folder = Path(arguments.output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    first = SetUp(
        workload=arguments.workload,
        model_type=arguments.model_type,
        d_model=arguments.d_model,
        n_layer=arguments.n_layer,
        n_head=arguments.n_head,
        batch_size=arguments.batch_size,
        num_steps=arguments.steps,
        threads=arguments.threads or os.cpu_count() or 1,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    variants = [
        {"loss_type": loss, "precision": precision}
        for loss, precision in product(arguments.losses, arguments.precisions)
    ]
    set_ups = sweep(
        first, items=arguments.items, lengths=arguments.lengths, sessions=arguments.sessions, variants=variants
    )
    baseline = Path(arguments.baseline).expanduser() if arguments.baseline else None
    with progress_bar("benchmark", len(set_ups) * arguments.repeats) as advance:
        rows = run_all(set_ups, folder, repeats=arguments.repeats, baseline=baseline, on_run=advance)
    show_result(table_of(rows))
    draw(rows, folder / "benchmark.png")
