"""RePlay's SASRec as the baseline of `transformers4recsys benchmark`: its model, loss, metrics and Lightning trainer.

`pip install 'replay-rec[torch]'` beside this package in an environment of its own, then `transformers4recsys benchmark
--model_type sasrec --baseline benchmarks/replay_trainer.py`. Its one item table reads and scores items, ours here are
two. Batches are padded before any clock starts, which favours RePlay. Evaluation is recall and NDCG of the last item,
top 20.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import sys
import time
import warnings
from importlib import import_module
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from baseline_flags import CUTOFF, SHARE_TO_TRAIN, parsed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


def padded(lists: Any, length: int, padding: int) -> Tensor:
    """Pad lists on the left, as RePlay reads the last position."""
    rows = np.full((len(lists), length), padding, np.int64)
    for row, items in zip(rows, lists, strict=True):
        row[length - len(items) :] = items
    return torch.from_numpy(rows)


def batches(lists: Any, sizes: argparse.Namespace, num_items: int) -> DataLoader[Any]:
    """Make batches of inputs, of what comes next at each position, and of the last item."""
    items_NL = padded([np.asarray(items[: sizes.maxlen]) - 1 for items in lists], sizes.maxlen, num_items)
    found = []
    for items_BL in items_NL.split(sizes.batch):
        inputs_BL, next_BL = items_BL[:, :-1], items_BL[:, 1:]
        found.append(
            {
                "feature_tensors": {"item_id": inputs_BL},
                "padding_mask": inputs_BL != num_items,
                "positive_labels": next_BL[..., None],
                "target_padding_mask": (inputs_BL != num_items)[..., None],
                "negative_labels": None,
                "ground_truth": next_BL[:, -1:],
            }
        )
    return DataLoader(cast(Dataset[dict[str, Any]], found), batch_size=None)


def trainer_class() -> Any:
    return import_module("lightning").Trainer


def sasrec(num_items: int, sizes: argparse.Namespace) -> Any:
    """Make RePlay's model in its Lightning module."""
    data, nn = import_module("replay.data"), import_module("replay.data.nn")
    source = nn.TensorFeatureSource(data.FeatureSource.INTERACTIONS, "item_id")
    feature = nn.TensorFeatureInfo(
        "item_id",
        is_seq=True,
        feature_type=data.FeatureType.CATEGORICAL,
        embedding_dim=sizes.d,
        padding_value=num_items,
        cardinality=num_items,
        feature_hint=data.FeatureHint.ITEM_ID,
        feature_sources=[source],
    )
    model = import_module("replay.nn.sequential").SasRec.from_params(
        nn.TensorSchema([feature]),
        embedding_dim=sizes.d,
        num_heads=sizes.heads,
        num_blocks=sizes.layers,
        max_sequence_length=sizes.maxlen,
        dropout=0.1,
        hidden_dim=4 * sizes.d,
    )
    return import_module("replay.nn.lightning").LightningModule(model)


def main() -> None:
    sizes = parsed(__doc__)
    torch.set_num_threads(sizes.threads)
    torch.manual_seed(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    lists: Any = pd.read_parquet(sizes.workload, columns=["items"])["items"]
    num_items, cut = int(lists.map(max).max()), int(len(lists) * SHARE_TO_TRAIN)
    ends: list[tuple[float, float]] = []

    class StepTimes(import_module("lightning").Callback):
        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            ends.append((time.perf_counter(), time.process_time()))

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu"}
    module, steps = sasrec(num_items, sizes), sizes.warmup + sizes.steps
    trained = batches(lists[:cut][: steps * sizes.batch], sizes, num_items)
    trainer_class()(max_steps=steps, callbacks=[StepTimes()], **quiet).fit(module, train_dataloaders=trained)
    step_s, step_cpu_s = np.median(np.diff(ends[sizes.warmup - 1 :], axis=0), axis=0)
    last = lists[cut : cut + sizes.eval_sessions]
    evaluated = batches(last, sizes, num_items)
    metrics = import_module("replay.nn.lightning.callback").ComputeMetricsCallback(
        metrics=["recall", "ndcg"], ks=[CUTOFF], verbose=False
    )
    trainer = trainer_class()(callbacks=[metrics], **quiet)
    started, started_cpu = time.perf_counter(), time.process_time()
    trainer.validate(module, dataloaders=evaluated, verbose=False)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    numbers = {
        "train_sessions_per_s_medstep": sizes.batch / step_s,
        "train_sessions_per_cpu_s": sizes.batch / step_cpu_s,
        "eval_sessions_per_s": len(last) / seconds,
        "eval_sessions_per_cpu_s": len(last) / cpu_seconds,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        f"recall@{CUTOFF}": metrics.get_metrics()[0][f"recall@{CUTOFF}"],
    }
    sys.stdout.write(json.dumps(numbers) + "\n")


if __name__ == "__main__":
    main()
