"""The plain baseline of `transformers4recsys benchmark`: GPT-2 and Trainer of the library, rows of a frame, padding.

`transformers4recsys benchmark --baseline benchmarks/plain_trainer.py` runs it right after each run on the same file of
sessions, with the sizes as flags, and reads the line of JSON that it prints: sessions a second of the clock and of the
processor, in training (the median step) and in evaluation, and the most memory. Any script that takes these flags and
prints these numbers can stand in its place. It trains in fp32 and evaluates the last item of each session, top 20.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from baseline_flags import CUTOFF, SHARE_TO_TRAIN, parsed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    GPT2Config,
    GPT2Model,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)


class Sessions(Dataset[dict[str, Any]]):
    """A row of the frame at a time; each list is padded by itself."""

    def __init__(self, frame: Any, length: int):
        self.frame, self.length = frame, length

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.frame.loc[index]
        return {name: self._padded(row[name]) for name in row.index}

    def _padded(self, values: Any) -> Any:
        padded = np.zeros(self.length, np.int64)
        padded[: len(values)] = values[: self.length]
        return padded


class PlainModel(nn.Module):
    """Item table, projection, GPT-2 over padded sessions, and scores of all items at every position with a next one."""

    def __init__(self, num_items: int, sizes: argparse.Namespace):
        super().__init__()
        width = sizes.d
        self.items = nn.Embedding(num_items + 1, width, padding_idx=0)
        self.merge = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.LayerNorm(width), nn.Tanh())
        # No token is read by its id: the model is given vectors. Its dropout is .1 everywhere.
        config = GPT2Config(
            vocab_size=1,
            n_embd=width,
            n_layer=sizes.layers,
            n_head=sizes.heads,
            n_positions=sizes.maxlen,
            use_cache=False,
        )
        self.encoder = GPT2Model(config)
        self.projection = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.scores = nn.Linear(width, num_items + 1)

    def hidden(self, items_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Give the vectors that score items, (B, L, D), and what comes next, (B, L), 0 where nothing does."""
        encoded_BLD = self.encoder(inputs_embeds=self.merge(self.items(items_BL))).last_hidden_state
        return self.projection(encoded_BLD), nn.functional.pad(items_BL[:, 1:], (0, 1))

    def forward(self, items: Tensor, **others: Tensor) -> dict[str, Tensor]:
        hidden_BLD, next_BL = self.hidden(items)
        is_target_BL = next_BL != 0
        return {"loss": nn.functional.cross_entropy(self.scores(hidden_BLD[is_target_BL]), next_BL[is_target_BL])}

    @torch.no_grad()
    def best(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Give the best items for the last position of each session, (B, CUTOFF), and the label, (B,)."""
        hidden_BLD, next_BL = self.hidden(items)
        row_B, last_B = torch.arange(len(items)), (next_BL != 0).sum(1) - 1
        scores_BV = self.scores(hidden_BLD[row_B, last_B])
        scores_BV[:, 0] = -torch.inf
        return scores_BV.topk(CUTOFF).indices, next_BL[row_B, last_B]


class StepTimes(TrainerCallback):
    """Takes down when each step ends, by the clock and by the processor."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


def train(model: PlainModel, sessions: Sessions, sizes: argparse.Namespace) -> tuple[float, float]:
    """Train; give the seconds of a median step by the clock, and by the processor."""
    times = StepTimes()
    arguments = TrainingArguments(
        tempfile.mkdtemp(),
        max_steps=sizes.warmup + sizes.steps,
        per_device_train_batch_size=sizes.batch,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, default_data_collator, sessions, callbacks=[times])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    wall_s, cpu_s = np.median(np.diff(times.ends[sizes.warmup - 1 :], axis=0), axis=0)
    return float(wall_s), float(cpu_s)


def evaluate(model: PlainModel, sessions: Sessions, batch_size: int) -> float:
    """Give the recall of the best items."""
    model.eval()
    num_hits = 0
    for batch in DataLoader(sessions, batch_size, collate_fn=default_data_collator):
        best_BK, label_B = model.best(batch["items"])
        num_hits += int((best_BK == label_B[:, None]).sum())
    return num_hits / len(sessions)


def main() -> None:
    sizes = parsed(__doc__)
    torch.set_num_threads(sizes.threads)
    torch.manual_seed(1)
    frame: Any = pd.read_parquet(sizes.workload, columns=["items", "times"])
    cut = int(len(frame) * SHARE_TO_TRAIN)
    num_items = int(frame["items"].map(max).max())
    trained = Sessions(frame.iloc[:cut].reset_index(drop=True), sizes.maxlen)
    evaluated = Sessions(frame.iloc[cut : cut + sizes.eval_sessions].reset_index(drop=True), sizes.maxlen)
    model = PlainModel(num_items, sizes)
    step_s, step_cpu_s = train(model, trained, sizes)
    started, started_cpu = time.perf_counter(), time.process_time()
    recall = evaluate(model, evaluated, sizes.batch)
    numbers = {
        "train_sessions_per_s_medstep": sizes.batch / step_s,
        "train_sessions_per_cpu_s": sizes.batch / step_cpu_s,
        "eval_sessions_per_s": len(evaluated) / (time.perf_counter() - started),
        "eval_sessions_per_cpu_s": len(evaluated) / (time.process_time() - started_cpu),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        f"recall@{CUTOFF}": recall,
    }
    sys.stdout.write(json.dumps(numbers) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
