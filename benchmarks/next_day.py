"""How good the models of `update` are while items come in: python benchmarks/next_day.py --output /tmp/next_day.

Takes some minutes of one core. `--course` takes one of the courses alone; the last one shows the table of all.

Four courses through one simulated log: `update` day after day, with new rows around the mean and at random; a model
that has all items of all days from the start; and one that never grows, to which new items are not known. All are
evaluated on the same targets; an item without a training event is a miss for all of them.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from transformers4recsys.commands import train, update
from transformers4recsys.preprocessing.recipe import read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.simulation.simulate import SimulateSettings, simulate

FIRST_DAYS, METRIC = 3, "eval_ndcg@10"
TRAIN = {
    **{"model_type": "sasrec", "d_model": 32, "n_layer": 1, "n_head": 2, "constrained_embeddings": True},
    **{"learning_rate": 0.003, "num_train_epochs": 3, "per_device_train_batch_size": 32, "save_steps": 0},
    **{"per_device_eval_batch_size": 256, "shuffle_buffer_size": 1_000_000, "report_to": "none", "use_cpu": True},
    **{"do_train": True, "do_eval": True, "workers_count": 0, "eval_steps_on_train_set": 1, "train_on_last_day": True},
}
COLUMNS = {
    "item_column": "product_id",
    "time_column": "event_time",
    "session_column": "user_session",
    "category_column": "category_id",
}


def trained(output: Path, days: Path, names: list[str], **flags: object) -> Path:
    train.run(
        {
            **{"data_path": str(days), "feature_config": str(days / "features_item_id.yaml")},
            **{"output_dir": str(output), "start_date": names[0], "end_date": names[-1]},
            **TRAIN,
            **flags,
        }
    )
    return output


def by_updates(output: Path, logs: list[Path], names: list[str], new_items: str) -> Path:
    """Train on the first days, and go on with one update a day."""
    recipe, days = read_recipe(flags=COLUMNS), output / "days"
    preprocess(LogSettings(tuple(map(str, logs[:FIRST_DAYS])), str(days)), recipe)
    run = trained(output / "run", days, names[:FIRST_DAYS], new_items=new_items)
    for log in logs[FIRST_DAYS:]:
        update.run({"run": str(run), "input": [str(log)], "keep": 0})
    return run


def without_new_items(days: Path, place: Path, names: list[str]) -> Path:
    """Write the days again as a model knows them that stops at the items of the first days."""
    place.mkdir(parents=True)
    known = max(max(items) for name in names[:FIRST_DAYS] for items in items_of(days, name, "train"))
    for name in names:
        for split in ("train", "valid"):
            kept = [[item for item in items if item <= known] for items in items_of(days, name, split)]
            table = pa.table({"item_id": [items or [1] for items in kept]})
            pq.write_table(table, place / f"session_start_date={name}-{split}.parquet")
    config = {"item_id": {"dtype": "categorical", "cardinality": known + 1, "is_label": True}}
    (place / "features_item_id.yaml").write_text(yaml.safe_dump(config))
    return place


def items_of(days: Path, name: str, split: str) -> list[list[int]]:
    return pq.read_table(days / f"session_start_date={name}-{split}.parquet")["item_id"].to_pylist()


def numbers_of(run: Path) -> dict[str, dict[str, float]]:
    """Read a run's numbers by day; there are none while it has not been evaluated."""
    path = run / "eval_train_results_dates.csv"
    if not path.exists():
        return {}
    with path.open() as file:
        return {
            row["index"]: {k: float(v) for k, v in row.items() if k != "index" and v} for row in csv.DictReader(file)
        }


def quality(output: Path, asked: SimulateSettings, courses: list[str]) -> None:
    logs, whole = simulate(asked), output / "days"
    names = [log.stem for log in logs]
    preprocess(LogSettings(tuple(map(str, logs)), str(whole)), read_recipe(flags=COLUMNS))
    make = {
        "mean": lambda place: by_updates(place, logs, names, "mean"),
        "random": lambda place: by_updates(place, logs, names, "random"),
        "from the start": lambda place: trained(place / "run", whole, names),
        "no growth": lambda place: trained(place / "run", without_new_items(whole, place / "days", names), names),
    }
    for course in courses or make:
        make[course](output / course)
    numbers = {course: numbers_of(output / course / "run") for course in make}
    if all(names[-1] in of_course for of_course in numbers.values()):
        show(numbers, names[FIRST_DAYS:])


def show(numbers: dict[str, dict[str, dict[str, float]]], names: list[str]) -> None:
    """Print the metric by day and its mean; a target that one course does not know is a miss of it."""
    num_targets = {name: numbers["mean"][name]["eval_num_targets"] for name in names}
    of_course = {
        course: [of[name][METRIC] * of[name]["eval_num_targets"] / num_targets[name] for name in names]
        for course, of in numbers.items()
    }
    unseen = [numbers["mean"][name]["eval_unseen_label_share"] for name in names]
    lines = ["| day | labels never seen | " + " | ".join(of_course) + " |", "|" + "---|" * (len(of_course) + 2)]
    for number, name in enumerate(names):
        cells = [f"{values[number]:.4f}" for values in of_course.values()]
        lines.append(f"| {name} | {unseen[number]:.3f} | " + " | ".join(cells) + " |")
    means = {course: float(np.mean(values)) for course, values in of_course.items()}
    lines.append(f"| mean | {np.mean(unseen):.3f} | " + " | ".join(f"**{mean:.4f}**" for mean in means.values()) + " |")
    ratios = {course: round(means["mean"] / mean, 4) for course, mean in means.items()}
    print("\n".join(lines), json.dumps(ratios), sep="\n")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--sessions_per_day", type=int, default=600)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--course", nargs="*", default=[])
    asked = parser.parse_args()
    log = SimulateSettings(
        asked.output / "logs",
        days=asked.days,
        sessions_per_day=asked.sessions_per_day,
        items=asked.items,
        on_sale_at_start=0.25,
        launched_per_day=0.026,
    )
    quality(asked.output, log, asked.course)


if __name__ == "__main__":
    main()
