"""Measure one set-up in a process of its own; its flags are one JSON argument, by the names of `SetUp`."""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainingArguments

from transformers4recsys.benchmarking.workload import write_sessions
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.model.encoders import encoder_of
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.objectives import LossSettings, make_objective
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.model.scoring import ItemScorer, ScorerSettings
from transformers4recsys.model.targets import CausalLastTarget, CausalTargets
from transformers4recsys.products import by_row
from transformers4recsys.schema import Schema
from transformers4recsys.settings import pick
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.memory import keep_freed_memory
from transformers4recsys.training.sparse_gradients import (
    ItemUpdates,
    choose_gradients,
    reasons_against_sparse_gradients,
)
from transformers4recsys.training.trainer import RecSysTrainer, Schedule

SHARE_TO_TRAIN = 0.9


@dataclass(frozen=True)
class SetUp:
    """What is measured; `workload` is a parquet file with a list column `items`, made up without it."""

    num_items: int = 10_000
    num_sessions: int = 100_000
    length: float = 5.5
    longest: int = 20
    workload: str | None = None
    model_type: str = "gpt2"
    d_model: int = 128
    n_layer: int = 2
    n_head: int = 4
    batch_size: int = 256
    loss_type: str = "cross_entropy"
    precision: str = "fp32"
    threads: int = 2
    num_steps: int = 30
    num_warmup_steps: int = 5  # of which the first is never measured
    eval_sessions: int = 5_000
    repeats: int = 3
    device: str = "cpu"


class StepTimes(TrainerCallback):
    """Takes down when each optimizer step ends."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


def measure(set_up: SetUp) -> dict[str, Any]:
    """Give sessions and events a second of loading, training and evaluation, and what they took."""
    keep_freed_memory()
    torch.set_num_threads(set_up.threads)
    with tempfile.TemporaryDirectory() as folder:
        train_file, eval_file, num_items = split_workload(set_up, Path(folder))
        schema = Schema.from_entries(
            {"items": {"dtype": "categorical", "cardinality": num_items + 1, "is_label": True}}
        )
        reading = {
            "schema": schema,
            "batch_size": set_up.batch_size,
            "session_length_max": set_up.longest,
            "day": datetime(2026, 1, 1),
        }
        started = time.perf_counter()
        trainer, times = build_trainer(set_up, schema, folder)
        reader = DayReader([train_file], shuffle=True, **reading)
        eval_reader = DayReader([eval_file], **reading)
        # Items are counted as the program counts them, before it trains.
        trainer.accelerator.unwrap_model(trainer.model).observe(reader.batches(0))
        trainer.train_reader = reader
        trainer.train()
        evaluated = [timed(lambda: trainer.measure(eval_reader, split="eval", description="evaluate"))]
        end_to_end = time.perf_counter() - started
        peak_memory = peak_memory_mb(set_up.device)
        evaluated += [
            timed(lambda: trainer.measure(eval_reader, split="eval", description="evaluate"))
            for _ in range(set_up.repeats - 1)
        ]
        loading = [
            timed(lambda: list(DayReader([train_file], shuffle=True, **reading).batches(0)))
            for _ in range(set_up.repeats)
        ]
        num_events = sum(len(batch.columns["items"].values) for batch in reader.batches(0))
        plain_rows_per_s = plain_loading(train_file, set_up.longest)

    eval_s, eval_cpu_s = (statistics.median(each) for each in zip(*evaluated, strict=True))
    load_s = statistics.median(wall for wall, _ in loading)
    events_of_session = num_events / reader.num_rows
    trained_events = (set_up.num_steps + set_up.num_warmup_steps) * set_up.batch_size * events_of_session
    return {
        **dataclasses.asdict(set_up),
        "num_items": num_items,
        "events_per_session": events_of_session,
        **step_numbers(set_up, trainer, times, events_of_session),
        "eval_sessions_per_s": eval_reader.num_rows / eval_s,
        "eval_sessions_per_cpu_s": eval_reader.num_rows / eval_cpu_s,
        "load_events_per_s": num_events / load_s,
        "load_ratio_to_rows": num_events / load_s / (plain_rows_per_s * events_of_session),
        "end_to_end_events_per_s": (trained_events + eval_reader.num_rows * events_of_session) / end_to_end,
        "peak_memory_mb": peak_memory,
    }


def step_numbers(set_up: SetUp, trainer: RecSysTrainer, times: StepTimes, events_of_session: float) -> dict[str, float]:
    """Give the speed of a median step, and its products a second beside what the machine can do."""
    first = set_up.num_warmup_steps - 1
    step_s, step_cpu_s = (float(np.median(np.diff(of)[first:])) for of in (times.wall, times.cpu))
    model = trainer.accelerator.unwrap_model(trainer.model)
    is_whole = model.objective.reads_all_items
    flops = step_flops(model.encoder, model.item_table if is_whole else None, set_up, events_of_session)
    rate = matrix_rate(set_up.precision, set_up.device)
    return {
        "train_sessions_per_s": set_up.batch_size / step_s,
        "train_events_per_s": set_up.batch_size * events_of_session / step_s,
        "train_sessions_per_cpu_s": set_up.batch_size / step_cpu_s,
        "step_ms": 1000 * step_s,
        "step_gflops": flops / step_s / 1e9,
        "matrix_gflops": rate / 1e9,
        "share_of_matrix_rate": flops / step_s / rate,
    }


def build_trainer(set_up: SetUp, schema: Schema, folder: str) -> tuple[RecSysTrainer, StepTimes]:
    """Build the model of the plain baseline: item table and output weights apart, every later item a target."""
    torch.manual_seed(1)
    width, num_items = set_up.d_model, schema.item_id.cardinality
    model = NextItemModel(
        schema,
        features=FeatureEmbedder(schema, d_model=width, item_width=width),
        encoder=encoder_of(set_up.model_type)(
            EncoderSettings(d_model=width, n_layer=set_up.n_layer, n_head=set_up.n_head, max_length=set_up.longest)
        ),
        scorer=ItemScorer(width, ScorerSettings("tanh"), num_items=num_items, table_width=width),
        objective=make_objective(
            pick(LossSettings, {"loss_type": set_up.loss_type, "negative_sampling": True}),
            LossSetup(width=width, num_items=num_items),
        ),
        training_targets=CausalTargets(),
        evaluation_targets=CausalLastTarget(),
    )
    arguments = TrainingArguments(
        folder,
        max_steps=set_up.num_steps + set_up.num_warmup_steps,
        per_device_train_batch_size=set_up.batch_size,
        learning_rate=1e-3,
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        use_cpu=set_up.device == "cpu",
        bf16=set_up.precision == "bf16",
        fp16=set_up.precision == "fp16",
    )
    # Sampled losses are measured with sparse_item_updates, where they can be.
    is_lazy = not (model.objective.reads_all_items or reasons_against_sparse_gradients(arguments))
    item_updates = ItemUpdates(sparse_item_updates=is_lazy)
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


def split_workload(set_up: SetUp, folder: Path) -> tuple[str, str, int]:
    """Write the first sessions to train on and some of the last to evaluate; give both files and the largest id."""
    source = Path(set_up.workload).expanduser() if set_up.workload else folder / "sessions.parquet"
    if not set_up.workload:
        write_sessions(
            source,
            num_items=set_up.num_items,
            num_sessions=set_up.num_sessions,
            length=set_up.length,
            longest=set_up.longest,
            seed=7,
        )
    table = pq.read_table(source, columns=["items"])
    cut = int(len(table) * SHARE_TO_TRAIN)
    files = [str(folder / name) for name in ("train.parquet", "eval.parquet")]
    pq.write_table(table.slice(0, cut), files[0])
    pq.write_table(table.slice(cut, set_up.eval_sessions), files[1])
    largest = int(max(chunk.flatten().to_numpy().max() for chunk in table["items"].chunks))
    del table
    # What the split took is not part of what is measured.
    pa.default_memory_pool().release_unused()
    return files[0], files[1], max(largest, 0 if set_up.workload else set_up.num_items)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Run it; give wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def plain_loading(file: str, longest: int, num_rows: int = 5_000) -> float:
    """Rows a second of the plain way: a row of a data frame at a time, padded by itself, stacked by the batch."""
    frame = pq.read_table(file).slice(0, num_rows).to_pandas()

    def read() -> None:
        for start in range(0, len(frame), 256):
            rows = []
            for number in range(start, min(start + 256, len(frame))):
                items = frame.loc[number]["items"][:longest]
                rows.append(torch.from_numpy(np.pad(items, (0, longest - len(items)))))
            torch.stack(rows)

    return len(frame) / min(timed(read)[0] for _ in range(3))


def step_flops(encoder: nn.Module, item_table_VE: Tensor | None, set_up: SetUp, events_of_session: float) -> float:
    """Count the products of a step: for each target 6 x weights of the encoder, which reads one place, and 6 x E x V.

    Without the table, as under losses that read some items, the encoder's alone.
    """
    targets = set_up.batch_size * (events_of_session - 1)
    weights = sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)
    return 6 * targets * (weights + (item_table_VE.numel() if item_table_VE is not None else 0))


def matrix_rate(precision: str, device: str, size: int = 2048) -> float:
    """Measure the products this machine does in a second, in this precision, on square matrices."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    one = torch.randn(size, size, device=device, dtype=dtype)

    def multiply() -> None:
        by_row(one, one)
        if device != "cpu":
            torch.cuda.synchronize()

    return 2 * size**3 / min(timed(multiply)[0] for _ in range(5))


def peak_memory_mb(device: str) -> float:
    """Most memory this process has held so far: the GPU's, or its own."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(measure(SetUp(**json.loads(sys.argv[1])))) + "\n")
