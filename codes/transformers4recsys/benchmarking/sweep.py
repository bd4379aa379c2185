"""Measure set-ups one after the other, each beside the plain baseline: a CSV line a run, a table of medians."""

from __future__ import annotations

import csv
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from transformers4recsys.benchmarking.measure import SetUp
from transformers4recsys.benchmarking.workload import write_sessions
from transformers4recsys.errors import InputError

log = logging.getLogger(__name__)

Row = dict[str, Any]

# Heading, number, and how it is written.
COLUMNS = (
    ("items", "num_items", "{:,.0f}"),
    ("length", "length", "{:.1f}"),
    ("sessions", "num_sessions", "{:,.0f}"),
    ("device", "device", "{}"),
    ("loss", "loss_type", "{}"),
    ("precision", "precision", "{}"),
    ("training\nsessions/s", "train_sessions_per_s", "{:,.0f}"),
    ("x base\nline", "train_ratio", "{:.2f}"),
    ("evaluation\nsessions/s", "eval_sessions_per_s", "{:,.0f}"),
    ("x base\nline", "eval_ratio", "{:.2f}"),
    ("loading\nevents/s", "load_events_per_s", "{:,.0f}"),
    ("x row\nby row", "load_ratio_to_rows", "{:.0f}"),
    ("end to end\nevents/s", "end_to_end_events_per_s", "{:,.0f}"),
    ("memory\nMB", "peak_memory_mb", "{:,.0f}"),
    ("x base\nline", "memory_ratio", "{:.2f}"),
    ("step\nGFLOP/s", "step_gflops", "{:,.0f}"),
    ("share of\nproducts", "share_of_matrix_rate", "{:.0%}"),
)


def sweep(
    first: SetUp,
    *,
    items: Sequence[int],
    lengths: Sequence[float],
    sessions: Sequence[int],
    variants: Iterable[Mapping],
) -> list[SetUp]:
    """List set-ups that vary one size at a time from the first of each, in every variant."""
    start = replace(first, num_items=items[0], length=lengths[0], num_sessions=sessions[0])
    if first.workload:
        # The file has its own sizes.
        items, lengths, sessions = items[:1], lengths[:1], sessions[:1]
    sizes = [replace(start, num_items=each) for each in items]
    sizes += [replace(start, length=each) for each in lengths[1:]]
    sizes += [replace(start, num_sessions=each) for each in sessions[1:]]
    return [replace(size, **variant) for size in sizes for variant in variants]


def run_all(
    set_ups: Sequence[SetUp], folder: Path, *, repeats: int, baseline: Path | None, on_run: Callable[[], None]
) -> list[Row]:
    """Run every set-up `repeats` times, beside the baseline each time; give medians by set-up.

    Each run is a process of its own: its memory is its own. `folder`/benchmark.csv gets a line a run.
    """
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for set_up in set_ups:
            given = replace(set_up, workload=set_up.workload or _workload(set_up, Path(work)))
            runs: list[Row] = []
            for _ in range(repeats):
                row = _measured([sys.executable, "-m", f"{__package__}.measure", json.dumps(asdict(given))])
                # The file that was made up for it is gone, and may lack its last items.
                row |= {"workload": set_up.workload}
                row |= {} if set_up.workload else {"num_items": set_up.num_items}
                runs.append(row | (against(row, _measured(_line(given, baseline))) if baseline else {}))
                append(folder / "benchmark.csv", runs[-1])
                on_run()
            rows.append(medians(runs))
    return rows


def medians(runs: Sequence[Row]) -> Row:
    """Give the median of each number; all else is the same in all runs."""
    values = {name: [run[name] for run in runs] for name in runs[0]}
    return {name: statistics.median(of) if isinstance(of[0], float) else of[0] for name, of in values.items()}


def append(path: Path, row: Row) -> None:
    """Add a line to a CSV file, with a heading where it is new; a file of other columns is left alone."""
    is_new = not path.exists()
    if not is_new:
        with path.open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file))
        if names != list(row):
            raise InputError(f"{path} has other columns than this run; move it away, or choose another `output`")
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def table_of(rows: Sequence[Row]) -> Table:
    """Lay the medians out, without the columns that no row has."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    columns = [column for column in COLUMNS if any(column[1] in row for row in rows)]
    for heading, _, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(form.format(row[name]) if name in row else "-" for _, name, form in columns))
    return table


def _workload(set_up: SetUp, folder: Path) -> str:
    path = folder / f"{set_up.num_items}-{set_up.num_sessions}-{set_up.length}-{set_up.longest}.parquet"
    if not path.exists():
        sizes = {name: getattr(set_up, name) for name in ("num_items", "num_sessions", "length", "longest")}
        write_sessions(path, **sizes, seed=7)
    return str(path)


def _line(set_up: SetUp, script: Path | None) -> list[str]:
    """Spell the same set-up out for the script of the baseline; it has fp32 and the full softmax alone."""
    flags = {
        "workload": set_up.workload,
        "steps": set_up.num_steps,
        "warmup": set_up.num_warmup_steps,
        "batch": set_up.batch_size,
        "d": set_up.d_model,
        "layers": set_up.n_layer,
        "heads": set_up.n_head,
        "maxlen": set_up.longest,
        "threads": set_up.threads,
        "eval-sessions": set_up.eval_sessions,
    }
    return [sys.executable, str(script), *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]


def _measured(command: Sequence[str]) -> Row:
    """Run a command whose last line of JSON is its result; on one GPU at most."""
    first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": first_gpu}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = [line for line in result.stdout.splitlines() if line.startswith('{"')]
    if result.returncode or not lines:
        last = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
        raise InputError(f"{' '.join(command[:3])} failed: {last}")
    return json.loads(lines[-1])


def against(row: Row, baseline: Row) -> Row:
    """Compare a run with the baseline beside it: speed, and memory."""
    return {
        "baseline_train_sessions_per_s": baseline["train_sessions_per_s_medstep"],
        "baseline_eval_sessions_per_s": baseline["eval_sessions_per_s"],
        "baseline_peak_memory_mb": baseline["peak_rss_mb"],
        "train_ratio": row["train_sessions_per_s"] / baseline["train_sessions_per_s_medstep"],
        "eval_ratio": row["eval_sessions_per_s"] / baseline["eval_sessions_per_s"],
        "train_cpu_ratio": row["train_sessions_per_cpu_s"] / baseline["train_sessions_per_cpu_s"],
        "eval_cpu_ratio": row["eval_sessions_per_cpu_s"] / baseline["eval_sessions_per_cpu_s"],
        "memory_ratio": row["peak_memory_mb"] / baseline["peak_rss_mb"],
    }
