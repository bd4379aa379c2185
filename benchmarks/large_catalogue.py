"""Measure training and use of a model of many items: python benchmarks/large_catalogue.py --items 10000 10000000.

GPT-2, 2 layers, 256 made-up sessions a step; input and output tables of width 64; sampled softmax with 256 negatives,
row-wise Adagrad, fp32. For each number of items: a process that trains, evaluates and saves; one that goes on with
1 % more items; one that recommends. A JSON line each, in which `peak` is the most memory of the process in a stage, the
libraries and the pages of files that it maps included, over the bytes of the tables and biases alone; steps are in
processor milliseconds, the median; all else in seconds, of the clock and of the processor. Numbers of one run are to be
compared.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import TrainingArguments

from transformers4recsys.benchmarking.measure import StepTimes
from transformers4recsys.benchmarking.workload import write_sessions
from transformers4recsys.data.checks import check_file, count_items
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.day_format import ITEMS_FILE
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.growth import POLICIES, GrowthSettings
from transformers4recsys.recommender import Recommender
from transformers4recsys.schema import Schema
from transformers4recsys.settings import pick
from transformers4recsys.training import resume
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.memory import keep_freed_memory
from transformers4recsys.training.sparse_gradients import ItemUpdates, choose_gradients
from transformers4recsys.training.trainer import RecSysTrainer, Schedule

DAY, WIDTH, NUM_SESSIONS, BATCH, LONGEST = datetime(2026, 1, 1), 64, 40_000, 256, 20
GROWTH = 1.01


def settings_of(given: argparse.Namespace) -> dict[str, object]:
    """The settings of the model and of the optimizer, by the names of flags."""
    return {
        "model_type": "gpt2",
        "d_model": WIDTH,
        "n_layer": 2,
        "n_head": 4,
        "item_embedding_dim": WIDTH,
        "tf_out_activation": "tanh",
        "loss_type": "sampled_softmax",
        "num_sampled_negatives": 256,
        "sampled_negatives_per": given.negatives_per,
        "neg_sampling_alpha": given.alpha,
        "item_optimizer": given.item_optimizer,
        "sparse_item_updates": True,
        "eval_on_last_item_seq_only": True,
    }


def schema_of(num_items: int) -> Schema:
    return Schema.from_entries({"items": {"dtype": "categorical", "cardinality": num_items + 1, "is_label": True}})


def prepare(folder: Path, num_items: int) -> None:
    """Write sessions, and the vocabulary that `preprocess` would have made, with text as raw ids."""
    write_sessions(
        folder / "sessions.parquet",
        num_items=num_items,
        num_sessions=NUM_SESSIONS,
        length=5.5,
        longest=LONGEST,
        seed=7,
    )
    for part, size in (("days", num_items), ("more", int(num_items * GROWTH))):
        (folder / part / "vocabulary").mkdir(parents=True)
        ids = np.arange(1, size + 1)
        vocabulary = pa.table({"raw": [f"sku-{number:08d}" for number in ids], "id": ids})
        pq.write_table(vocabulary, folder / part / "vocabulary" / "items.parquet")
        for name, num_values in (("category", 1_000), ("brand", 10_000)):
            vocabulary = vocabulary.append_column(name, pa.array([f"{name} {number % num_values}" for number in ids]))
        pq.write_table(vocabulary, folder / part / ITEMS_FILE)


class Stages:
    """Takes down how long each stage took, and the most memory in it."""

    def __init__(self, table_bytes: int):
        self.table_bytes, self.numbers = table_bytes, {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        # Linux begins a new peak here.
        Path("/proc/self/clear_refs").write_text("5")
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.numbers[f"{name} s"] = round(time.perf_counter() - start, 1)
        self.numbers[f"{name} cpu s"] = round(time.process_time() - cpu, 1)
        line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
        self.numbers[f"{name} peak"] = round(int(line.split()[1]) * 1024 / self.table_bytes, 2)

    def steps(self, times: StepTimes) -> None:
        self.numbers["step cpu ms"] = round(statistics.median(np.diff(times.cpu)[3:]) * 1000, 1)
        self.numbers["step ms"] = round(statistics.median(np.diff(times.wall)[3:]) * 1000, 1)


def trainer_of(
    given: argparse.Namespace, folder: Path, num_items: int, num_steps: int
) -> tuple[RecSysTrainer, StepTimes]:
    values = settings_of(given)
    model = build_model(schema_of(num_items), pick(ModelSettings, values), max_length=LONGEST)
    arguments = TrainingArguments(
        str(folder),
        max_steps=num_steps,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-3,
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        use_cpu=True,
    )
    item_updates = pick(ItemUpdates, values)
    choose_gradients(model, item_updates, arguments)
    times = StepTimes()
    trainer = RecSysTrainer(
        model,
        arguments,
        schedule=Schedule(),
        evaluation=Evaluation(),
        callbacks=[times],
        item_updates=item_updates,
    )
    return trainer, times


def reader_of(file: Path, num_items: int, *, shuffle: bool = False) -> DayReader:
    schema = schema_of(num_items)
    return DayReader([str(file)], schema=schema, batch_size=BATCH, session_length_max=LONGEST, shuffle=shuffle, day=DAY)


def train(given: argparse.Namespace, folder: Path, stages: Stages) -> None:
    num_items = given.items[0]
    with stages.stage("build"):
        trainer, times = trainer_of(given, folder, num_items, given.steps)
        model = trainer.accelerator.unwrap_model(trainer.model)
    with stages.stage("count"):
        checked = check_file(str(folder / "sessions.parquet"), schema_of(num_items), session_length_max=LONGEST)
        model.add_counts(*map(torch.from_numpy, count_items([checked], num_items + 1)))
    trainer.train_reader = reader_of(folder / "sessions.parquet", num_items, shuffle=True)
    with stages.stage("train"):
        trainer.train()
    stages.steps(times)
    evaluated = folder / "evaluated.parquet"
    pq.write_table(pq.read_table(folder / "sessions.parquet").slice(0, given.sessions), evaluated)
    rows = reader_of(evaluated, num_items)
    with stages.stage("evaluate"):
        trainer.measure(rows, split="eval", description="evaluate")
    writer = resume.writer_of(
        folder / "run",
        settings=sections(given),
        schema=schema_of(num_items),
        data_path=str(folder / "days"),
    )
    with stages.stage("save"):
        writer.save_day(trainer, DAY.isoformat(), {})


def go_on(given: argparse.Namespace, folder: Path, stages: Stages) -> None:
    num_items = int(given.items[0] * GROWTH)
    with stages.stage("build"):
        trainer, times = trainer_of(given, folder, num_items, 40)
    with stages.stage("read and grow"):
        resumed = resume.find(folder / "run")
        resume.load(trainer, resumed, GrowthSettings(given.new_items), data_path=str(folder / "more"))
    del resumed
    trainer.train_reader = reader_of(folder / "sessions.parquet", num_items, shuffle=True)
    with stages.stage("train"):
        trainer.train()
    stages.steps(times)


def recommend(given: argparse.Namespace, folder: Path, stages: Stages) -> None:
    with stages.stage("load"):
        recommender = Recommender.load(folder / "run")
    sessions = [[f"sku-{item:08d}" for item in row] for row in np.random.default_rng(1).integers(1, 9_000, (256, 5))]
    with stages.stage("look ids up"):
        request = recommender.request(sessions)
    filters = recommender.filters(20)
    with stages.stage("recommend"):
        recommender.recommend_request(request, filters)


def sections(given: argparse.Namespace) -> dict[str, dict[str, object]]:
    """The settings as config.json keeps them."""
    values = settings_of(given)
    lengths = {"session_seq_length_max": LONGEST, "session_aware_past_seq_length_max": LONGEST}
    return {"data": {"time_unit": "day", **lengths}, "model": values, "training": values}


PARTS = {"train": train, "go on": go_on, "recommend": recommend}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", nargs="+", type=int, default=[10_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--sessions", type=int, default=256, help="that are evaluated")
    parser.add_argument("--negatives_per", choices=("batch", "position"), default="batch")
    parser.add_argument("--alpha", type=float, default=0.0, help="negatives follow popularity to this power")
    parser.add_argument("--item_optimizer", choices=("adamw", "rowwise_adagrad"), default="rowwise_adagrad")
    parser.add_argument("--new_items", choices=POLICIES, default="mean", help="where the rows of new items begin")
    parser.add_argument("--folder", type=Path, help="where sessions and runs are written; a temporary one without it")
    parser.add_argument("--part", choices=("prepare", *PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == "prepare":
        prepare(given.folder, given.items[0])
    elif given.part:
        keep_freed_memory()
        torch.set_num_threads(1)
        stages = Stages(given.items[0] * (2 * WIDTH + 1) * 4)
        PARTS[given.part](given, given.folder, stages)
        sys.stdout.write(json.dumps({"items": given.items[0], "part": given.part} | stages.numbers) + "\n")
        return
    else:
        for number in given.items:
            run(given, number)


def run(given: argparse.Namespace, num_items: int) -> None:
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    others = [
        str(word)
        for name in ("steps", "sessions", "negatives_per", "alpha", "item_optimizer", "new_items")
        for word in (f"--{name}", getattr(given, name))
    ]
    try:
        for part in ("prepare", *PARTS):
            line = ["--part", part, "--folder", str(folder), "--items", str(num_items), *others]
            subprocess.run([sys.executable, __file__, *line], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
