"""Measure loading, training and evaluation on made-up sessions: python benchmarks/main_job.py [ITEMS] [REPEATS].

GPT-2, 2 layers, width 128, 4 heads, batches of 256, cross entropy over all items, fp32. Medians of the repeats, as
JSON lines; compare numbers of one run with one another, not with those of another day.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import TrainingArguments

from transformers4recsys.data.arrow_engine import ArrowEngine
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.features import FeatureEmbedder
from transformers4recsys.model.losses import cross_entropy
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.scoring import ACTIVATIONS, ItemScorer
from transformers4recsys.model.targets import CausalLastTarget, CausalTargets
from transformers4recsys.schema import Schema
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.trainer import RecSysTrainer, Schedule

WIDTH, BATCH, TRAIN_STEPS, EVAL_SESSIONS = 128, 256, 20, 5000


def write_sessions(path: Path, num_items: int, num_sessions: int) -> None:
    """Write sessions of 2 to 20 items, 5.5 on average, Zipf popular."""
    generator = np.random.default_rng(7)
    lengths = np.clip(1 + generator.geometric(0.22, num_sessions), 2, 20)
    items = np.minimum(generator.zipf(1.2, lengths.sum()), num_items - 1)
    offsets = np.concatenate([[0], lengths.cumsum()])
    column = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(items))
    pq.write_table(pa.table({"item_id": column}), path)


def build_trainer(schema: Schema, num_items: int, folder: str) -> RecSysTrainer:
    torch.manual_seed(1)
    model = NextItemModel(
        schema,
        features=FeatureEmbedder(schema, d_model=WIDTH, item_width=WIDTH),
        encoder=ENCODERS["gpt2"](EncoderSettings(WIDTH, n_layer=2, n_head=4)),
        scorer=ItemScorer(WIDTH, num_items=num_items, table_width=WIDTH, activation=ACTIVATIONS["tanh"], is_tied=False),
        loss=cross_entropy,
        training_targets=CausalTargets(),
        evaluation_targets=CausalLastTarget(),
    )
    arguments = TrainingArguments(
        folder, max_steps=TRAIN_STEPS, learning_rate=1e-3, save_strategy="no", logging_strategy="no", use_cpu=True
    )
    return RecSysTrainer(model, arguments, schedule=Schedule(), evaluation=Evaluation(), callbacks=[])


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(num_items: int, repeats: int) -> None:
    schema = Schema.from_entries({"item_id": {"dtype": "categorical", "cardinality": num_items, "is_label": True}})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sessions.parquet")
        write_sessions(path, num_items, 100_000)
        write_sessions(path.with_name("eval.parquet"), num_items, EVAL_SESSIONS)
        reading = {"schema": schema, "batch_size": BATCH, "session_length_max": 20, "day": datetime(2026, 1, 1)}
        num_events = sum(len(each) for each in pq.read_table(path)["item_id"])
        trainer = build_trainer(schema, num_items, folder)
        trainer.train_engine = ArrowEngine([str(path)], shuffle=True, **reading)
        eval_engine = ArrowEngine([str(path.with_name("eval.parquet"))], **reading)
        measures = {
            "loading, events/s": (
                num_events,
                lambda: list(ArrowEngine([str(path)], shuffle=True, **reading).batches(0)),
            ),
            "training, sessions/s": (TRAIN_STEPS * BATCH, trainer.train),
            "evaluation, sessions/s": (
                EVAL_SESSIONS,
                lambda: trainer.evaluation.run(
                    trainer.model, eval_engine, device=torch.device("cpu"), autocast=nullcontext, description=""
                ),
            ),
        }
        result = {"items": num_items, "threads": torch.get_num_threads()}
        for name, (amount, work) in measures.items():
            work()
            result[name] = round(amount / statistics.median(seconds(work) for _ in range(repeats)))
    result["peak memory, MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    for catalogue in [int(sys.argv[1])] if len(sys.argv) > 1 else [10_000, 50_000]:
        main(catalogue, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
