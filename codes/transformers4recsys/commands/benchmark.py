"""Where settings become a benchmark."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import torch

from transformers4recsys.benchmarking.measure import SetUp
from transformers4recsys.benchmarking.picture import draw
from transformers4recsys.benchmarking.sweep import run_all, sweep, table_of
from transformers4recsys.config import BenchmarkArguments
from transformers4recsys.errors import InputError
from transformers4recsys.terminal import progress_bar, show_result


def benchmark(arguments: BenchmarkArguments) -> None:
    """Measure every set-up that the flags describe; show the table, write CSV and picture."""
    for path in (arguments.baseline, arguments.workload):
        if path and not Path(path).expanduser().is_file():
            raise InputError(f"{path} is not there; give a file, or leave the flag out")
    if not find_spec("matplotlib"):
        raise InputError("the picture needs matplotlib: pip install matplotlib")
    folder = Path(arguments.output or "").expanduser()
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
