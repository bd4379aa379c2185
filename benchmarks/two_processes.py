"""Measure two processes of one thread each against one process of one thread: python benchmarks/two_processes.py.

GPT-2, 2 layers, width 128, 4 heads, 256 sessions a step in all, cross entropy over 10,000 items, fp32. One and two
processes take turns; a JSON line a run with sessions a second while training a day, and the cores that the whole run
got: less than 0.95 for one, or 0.85 each for two, which wait for each other, means that something else was running,
and that the line says nothing.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from transformers4recsys.benchmarking.workload import write_sessions

MAIN = Path(__file__).parents[1] / "codes" / "recsys_main.py"
NUM_ITEMS, NUM_SESSIONS, STEP, REPEATS = 10_000, 8_000, 256, 3
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


def measure(folder: Path, num_processes: int) -> dict[str, float]:
    output = folder / f"by_{num_processes}"
    launcher = (*TORCHRUN, str(num_processes)) if num_processes > 1 else ()
    flags = f"""--do_train --data_path {folder} --feature_config {folder / "features.yaml"} --output_dir {output}
        --start_date 2026-01-01 --end_date 2026-01-02 --d_model 128 --n_layer 2 --n_head 4 --learning_rate 0.001
        --num_train_epochs 1 --per_device_train_batch_size {STEP // num_processes} --shuffle_buffer_size 1000000
        --overwrite_output_dir --use_cpu --report_to none --save_steps 0"""
    start, used = time.perf_counter(), cpu_seconds()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launcher, str(MAIN), *flags.split()], env=environment, check=True)
    whole = time.perf_counter() - start
    state = json.loads((output / "trainer_state.json").read_text())
    (seconds,) = [entry["train_runtime"] for entry in state["log_history"] if "train_runtime" in entry]
    cores = (cpu_seconds() - used) / whole
    return {"processes": num_processes, "sessions/s": round(NUM_SESSIONS / seconds), "cores": round(cores, 2)}


def cpu_seconds() -> float:
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        day = folder / "session_start_date=2026-01-01-train.parquet"
        write_sessions(day, num_items=NUM_ITEMS, num_sessions=NUM_SESSIONS, length=5.5, longest=20, seed=7)
        rows = pq.read_table(day).slice(0, STEP)
        pq.write_table(rows, folder / "session_start_date=2026-01-02-valid.parquet")
        entry = f"items: {{dtype: categorical, cardinality: {NUM_ITEMS + 1}, is_label: true}}\n"
        (folder / "features.yaml").write_text(entry)
        runs = [measure(folder, number) for _ in range(REPEATS) for number in (1, 2)]
    for run in runs:
        sys.stdout.write(json.dumps(run) + "\n")
    one, two = (statistics.median(run["sessions/s"] for run in runs if run["processes"] == n) for n in (1, 2))
    sys.stdout.write(f"speed-up, by medians: {two / one:.2f}\n")


if __name__ == "__main__":
    main()
