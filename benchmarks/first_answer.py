"""Measure how long `recommend --items` takes from its start to its answer: python benchmarks/first_answer.py.

A made-up shop of 1,000 products is preprocessed and trained on first: GPT-2 and SASRec, 2 layers of width 64, of the
items alone and of all features. A JSON line a run, medians and the longest over starts of the command: seconds of the
clock to the last line of the answer and to the end of the process, and processor seconds. A first start, which is not
counted, brings the files into memory.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

PROGRAM = (sys.executable, "-m", "transformers4recsys")
K = 10
SHOP = "--item_column product_id --time_column event_time --session_column user_session --user_column user_id "
SHOP += "--category_column category_id --price_column price --categorical_columns brand"
TRAIN = "--do_train --start_date 2019-10-01 --end_date 2019-10-02 --d_model 64 --n_layer 2 --n_head 4 "
TRAIN += "--num_train_epochs 1 --per_device_train_batch_size 128 --use_cpu --report_to none --save_steps 0"
CONFIGS = {"item": "features_item_id.yaml", "all features": "features.yaml"}


def run(command: str, flags: str, *more: str) -> None:
    subprocess.run([*PROGRAM, command, *flags.split(), *more], check=True, capture_output=True)


def start(output: Path, items: list[str]) -> tuple[float, float, float]:
    """Start the command once; give the seconds to its answer, to its end, and of the processor."""
    before, begin = processor_seconds(), time.perf_counter()
    line = [*PROGRAM, "recommend", "--run", str(output), "--k", str(K), "--items", *items]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(K + 1)]
        answered = time.perf_counter() - begin
    assert all(lines), "the answer is not whole"
    return answered, time.perf_counter() - begin, processor_seconds() - before


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--encoders", nargs="+", default=["gpt2", "sasrec"])
    parser.add_argument("--inputs", nargs="+", choices=CONFIGS, default=[*CONFIGS])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("simulate", "--days 3 --sessions_per_day 400 --items 1000", "--output", str(folder / "logs"))
        run("preprocess", SHOP, "--input", str(folder / "logs"), "--output", str(folder / "days"))
        raw = pq.ParquetFile(folder / "days" / "vocabulary" / "item_id.parquet").read().column("raw").slice(0, 2)
        for encoder in given.encoders:
            for inputs in given.inputs:
                config, output, days = CONFIGS[inputs], folder / f"{encoder} {inputs}", folder / "days"
                places = ["--data_path", str(days), "--feature_config", str(days / config), "--output_dir", str(output)]
                run("train", TRAIN, "--model_type", encoder, *places)
                starts = [start(output, [str(item) for item in raw.to_pylist()]) for _ in range(given.repeats + 1)]
                numbers: dict[str, float] = {}
                for what, times in zip(
                    ("answer_s", "end_s", "processor_s"), zip(*starts[1:], strict=True), strict=True
                ):
                    numbers |= {what: round(statistics.median(times), 2), f"longest_{what}": round(max(times), 2)}
                sys.stdout.write(json.dumps({"encoder": encoder, "inputs": inputs, **numbers}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
