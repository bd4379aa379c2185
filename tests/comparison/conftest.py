"""Runs as the comparison reads them: results and predictions by hand, without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.comparison.runs import Run
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.predictions import path_of_day
from transformers4recsys.reporting.result_files import ResultFiles

# A target: session, position, label, length of the session, its ndcg@20.
Target = tuple[Any, int, int, int, float]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Make a run of targets by day; without `sessions`, its predictions do not name them."""

    def make(
        name: str,
        days: dict[str, list[Target]],
        *,
        sessions: bool = True,
        extra: dict[str, float] | None = None,
        settings: dict[str, Any] | None = None,
        vocabulary: pa.Table | None = None,
    ) -> Run:
        folder = tmp_path / name
        (folder / "pred_logs").mkdir(parents=True)
        results = ResultFiles(folder)
        for day, targets in days.items():
            if not targets:
                results.numbers(Report(day, "eval", {"eval_ndcg@20": None, "eval_num_targets": 0.0}))
                continue
            session, position, label, length, value = zip(*targets, strict=True)
            mean = sum(value) / len(value)
            numbers = {"eval_ndcg@20": mean, "eval_num_targets": float(len(value)), **(extra or {})}
            results.numbers(Report(day, "eval", numbers))
            columns = {"session_id": pa.array(session)} if sessions else {}
            columns |= {
                "relevant_item_ids": pa.array([[each] for each in label], pa.list_(pa.int64())),
                "position": pa.array(position),
                "length": pa.array(length),
                "metric_ndcg@20": pa.array(value),
            }
            pq.write_table(pa.table(columns), path_of_day(folder, day))
        return Run.read(name, folder, {"model": {"model_type": name} | (settings or {})}, 100, vocabulary)

    return make
