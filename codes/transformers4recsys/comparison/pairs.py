"""Predictions of two runs put side by side: the same target of the same session of the same day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SESSION_COLUMNS = ("session_id", "metadata_session_id")
# Of the same item by the ids of the log, where they were logged; ids of two vocabularies may differ.
LABEL_COLUMNS = ("relevant_raw_item_ids", "relevant_item_ids")


@dataclass(frozen=True)
class Pairs:
    """Sessions that both runs predicted on one day: sums over their common targets, by metric (S,), and `targets` (S,).

    `left_over` counts the targets of either run that the other one has not; `other_labels` those of the same session
    and position whose item is another one, which are left out too.
    """

    first: dict[str, np.ndarray]
    second: dict[str, np.ndarray]
    targets: np.ndarray
    left_over: tuple[int, int]
    other_labels: int


def pair(first: Path, second: Path, metrics: Sequence[str]) -> Pairs | None:
    """Match two files of predictions; None where a file does not name sessions, or names one twice."""
    left, right = _targets(first, metrics), _targets(second, metrics)
    if left is None or right is None:
        return None
    both = left.join(right, ["session", "position"], join_type="inner", right_suffix="_2", use_threads=False)
    if both.num_rows > min(left.num_rows, right.num_rows):
        return None
    same = pc.equal(both["label"], both["label_2"]) if left["label"].type == right["label"].type else None
    alike = both.filter(same) if same is not None else both.slice(0, 0)
    sums = alike.group_by("session", use_threads=False).aggregate(
        [("position", "count"), *((f"{name}{ending}", "sum") for name in metrics for ending in ("", "_2"))]
    )
    return Pairs(
        first={name: sums[f"{name}_sum"].to_numpy() for name in metrics},
        second={name: sums[f"{name}_2_sum"].to_numpy() for name in metrics},
        targets=sums["position_count"].to_numpy(),
        left_over=(left.num_rows - both.num_rows, right.num_rows - both.num_rows),
        other_labels=both.num_rows - alike.num_rows,
    )


def _targets(path: Path, metrics: Sequence[str]) -> pa.Table | None:
    """Read session, position, label and the metrics of each target."""
    names = pq.read_schema(path).names
    session = next((name for name in SESSION_COLUMNS if name in names), None)
    missing = [name for name in metrics if f"metric_{name}" not in names]
    if session is None or missing:
        return None
    label = next(name for name in LABEL_COLUMNS if name in names)
    table = pq.read_table(path, columns=[session, "position", label, *(f"metric_{name}" for name in metrics)])
    return pa.table(
        {
            "session": table[session],
            "position": table["position"],
            "label": pc.list_flatten(table[label]),
            **{name: table[f"metric_{name}"] for name in metrics},
        }
    )
