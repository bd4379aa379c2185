"""How well items without a click are recommended: a made-up shop in which many products are launched late.

Run from the repository: `python benchmarks/cold_start.py`, some minutes on one core. It writes logs, day files and runs
to `cold_start/` in the current folder, or to `--folder`, and prints a row a set of flags: metrics over all labels and
over seen ones, means over days; and those over labels never seen before, over all of them.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from transformers4recsys import cli

FIRST_DAY, LAUNCHED_LATE = date(2019, 10, 1), 0.5
FEATURES = {"item_features": '["category", "brand", "price"]'}
# What is compared, by flags that differ from those of all.
RUNS = {
    "none": {},
    "item_features": FEATURES,
    "item_features, unknown_share 0.3": FEATURES | {"unknown_share": 0.3},
    "item_features, unknown_share 0.6": FEATURES | {"unknown_share": 0.6},
}
FLAGS = {
    **{"start_date": FIRST_DAY, "do_train": True, "do_eval": True, "report_cold": True, "model_type": "gru"},
    **{"n_layer": 1, "d_model": 64, "dropout": 0.1, "tf_out_activation": "tanh", "constrained_embeddings": True},
    **{"learning_rate": 0.003, "num_train_epochs": 4, "save_steps": 0, "report_to": "none"},
    **{"per_device_train_batch_size": 64, "per_device_eval_batch_size": 512, "shuffle_buffer_size": 1_000_000},
    **{"overwrite_output_dir": True, "use_cpu": True},
}
METRICS = ("ndcg@10", "seen_ndcg@10", "cold_ndcg@10", "cold_recall@20", "cold_recall@100")


def run(command: str, **flags: object) -> None:
    """Run a command; flags without a value here are left out."""
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    if code := cli.main([command, *words]):
        sys.exit(code)


def launch_late(logs: Path) -> None:
    """Take the events of half of the products out of the days before one drawn for each."""
    files = sorted(logs.glob("*.parquet"))
    products = np.unique(np.concatenate([pq.read_table(file)["product_id"].to_numpy() for file in files]))
    draw = np.random.default_rng(0)
    is_late = draw.random(len(products)) < LAUNCHED_LATE
    launch_day = np.where(is_late, draw.integers(1, len(files), len(products)), 0)
    for day, file in enumerate(files):
        table = pq.read_table(file)
        is_sold = launch_day[np.searchsorted(products, table["product_id"].to_numpy())] <= day
        pq.write_table(table.filter(pa.array(is_sold)), file)


def measure(name: str, flags: dict[str, object], folder: Path, last_day: date) -> str:
    """Train a run and give its row of the table."""
    output, days = folder / name.replace(" ", "_").replace(",", ""), folder / "days"
    places = {"data_path": days, "feature_config": days / "features.yaml", "output_dir": output}
    run("train", **places, end_date=last_day, **FLAGS, **flags)
    rows = pa.csv.read_csv(output / "eval_train_results_dates.csv").to_pylist()
    num_cold = np.array([day["eval_unseen_label_share"] * day["eval_num_targets"] for day in rows])
    values = []
    for metric in METRICS:
        of_days = np.array([day[f"eval_{metric}"] or 0.0 for day in rows])
        values.append(np.average(of_days, weights=num_cold if metric.startswith("cold") else None))
    return " | ".join([name, *(f"{value:.4f}" for value in values)])


def main() -> None:
    """Make the shop, train all runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("cold_start"), help="of logs, day files and runs")
    parser.add_argument("--days", type=int, default=12, help="that are simulated; the last two are not used")
    parser.add_argument("--sessions_per_day", type=int, default=2000)
    parser.add_argument("--items", type=int, default=1000)
    given = parser.parse_args()
    logs, days = given.folder / "logs", given.folder / "days"
    run("simulate", output=logs, days=given.days, sessions_per_day=given.sessions_per_day, items=given.items)
    launch_late(logs)
    columns = {"item": "product_id", "time": "event_time", "session": "user_session", "user": "user_id"}
    columns |= {"category": "category_id", "price": "price"}
    named = {f"{name}_column": column for name, column in columns.items()}
    run("preprocess", input=logs, output=days, categorical_columns="brand", **named)
    last_day = FIRST_DAY + timedelta(days=given.days - 3)
    rows = [measure(name, flags, given.folder, last_day) for name, flags in RUNS.items()]
    sys.stdout.write("\n".join([" | ".join(["flags", *METRICS]), *rows, ""]))


if __name__ == "__main__":
    main()
