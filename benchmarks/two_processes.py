"""Measure two processes of one thread each against one: python benchmarks/two_processes.py --items 10000.

GPT-2, 2 layers, width 128, 4 heads, fp32, 256 sessions a step in all (or of each process, `--sessions_of_each 256`),
cross entropy or sampled softmax with 256 negatives. One process, two, and two that share item tables out
(`--shard_item_tables`) take turns, or four that do (`--ways shared_by_four`); a JSON line a run: sessions a second
while training a day; the cores and processor seconds that the whole run got; and the most memory of its largest
process, libraries included. Less than 0.95 cores for one, or 0.85 each for two, which wait for each other, means that
something else was running, and that the speed of the line says nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from transformers4recsys.benchmarking.workload import write_sessions

MAIN = Path(__file__).parents[1] / "codes" / "recsys_main.py"
STEP = 256
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
WAYS = {"one": 1, "two": 2, "shared": 2, "shared_by_four": 4}


def measure(folder: Path, way: str, given: argparse.Namespace) -> dict[str, Any]:
    num_processes, output = WAYS[way], folder / f"by_{way}"
    launcher = (*TORCHRUN, str(num_processes)) if num_processes > 1 else ()
    sessions_of_each = given.sessions_of_each or STEP // num_processes
    flags = f"""--do_train --data_path {folder} --feature_config {folder / "features.yaml"} --output_dir {output}
        --start_date 2026-01-01 --end_date 2026-01-02 --d_model 128 --n_layer 2 --n_head 4 --learning_rate 0.001
        --num_train_epochs 1 --per_device_train_batch_size {sessions_of_each} --shuffle_buffer_size 1000000
        --loss_type {given.loss_type} --max_steps {given.steps} --overwrite_output_dir --use_cpu
        --report_to none --save_steps 0 --shard_item_tables {way.startswith("shared")} {" ".join(given.flags)}"""
    start, environment = time.perf_counter(), os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *launcher, str(MAIN), *flags.split()], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, way
    whole = time.perf_counter() - start
    state = json.loads((output / "trainer_state.json").read_text())
    (seconds,) = [entry["train_runtime"] for entry in state["log_history"] if "train_runtime" in entry]
    num_sessions = sessions_of_each * num_processes * given.steps
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return {
        "way": way,
        "sessions/s": round(num_sessions / seconds),
        "cores": round(cpu_seconds / whole, 2),
        "cpu s": round(cpu_seconds, 1),
        "peak MB": usage.ru_maxrss * 1024 // 10**6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--loss_type", choices=("cross_entropy", "sampled_softmax"), default="cross_entropy")
    parser.add_argument("--steps", type=int, default=31)
    parser.add_argument("--sessions_of_each", type=int, help="sessions a step of each process, however many there are")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["one", "two", "shared"])
    parser.add_argument("flags", nargs="*", help="further flags of training, behind --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        day = folder / "session_start_date=2026-01-01-train.parquet"
        num_sessions = max(STEP, 2 * (given.sessions_of_each or 0)) * (given.steps + 1)
        write_sessions(day, num_items=given.items, num_sessions=num_sessions, length=5.5, longest=20, seed=7)
        rows = pq.read_table(day).slice(0, STEP)
        pq.write_table(rows, folder / "session_start_date=2026-01-02-valid.parquet")
        entry = f"items: {{dtype: categorical, cardinality: {given.items + 1}, is_label: true}}\n"
        (folder / "features.yaml").write_text(entry)
        runs = [measure(folder, way, given) for _ in range(given.repeats) for way in given.ways]
    for run in runs:
        sys.stdout.write(json.dumps(run) + "\n")
    speeds = {way: statistics.median(run["sessions/s"] for run in runs if run["way"] == way) for way in given.ways}
    if "one" in speeds:
        ratios = {way: round(speed / speeds["one"], 2) for way, speed in speeds.items()}
        sys.stdout.write(json.dumps({"speed-up, by medians": ratios}) + "\n")


if __name__ == "__main__":
    main()
