"""A run's means over kinds of targets: by length of the session, by how popular the item is, by whether it is new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformers4recsys.comparison.runs import Items, Run

LENGTHS = ((2, 3), (4, 6), (7, 12), (13, None))
POPULARITY = ("most popular third of events", "middle third of events", "least popular third of events")


@dataclass(frozen=True)
class Slice:
    """Targets of one kind: how many, and each metric's mean over them, None where it was not logged."""

    kind: str
    name: str
    targets: int
    means: dict[str, float | None]


def slices_of(run: Run, metrics: Sequence[str]) -> list[Slice]:
    """Read a run's predictions a day at a time; empty where it kept none."""
    sums: dict[tuple[str, str], np.ndarray] = {}
    for day in run.days:
        path = run.predictions_of(day)
        if path is None:
            continue
        file = pq.read_table(path)
        values = [_column(file, name) for name in metrics]
        lengths, labels = file["length"].to_numpy(), pc.list_flatten(file["relevant_item_ids"]).to_numpy()
        for kind, name, mask in [*_by_length(lengths), *_by_item(run.items, labels, day)]:
            row = np.array([mask.sum(), *(each[mask].sum() for each in values)])
            sums[kind, name] = sums.get((kind, name), 0) + row
    return [
        Slice(kind, name, int(row[0]), dict(zip(metrics, map(_number, row[1:] / row[0]), strict=True)))
        for (kind, name), row in sums.items()
        if row[0]
    ]


def _by_length(lengths: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    for low, high in LENGTHS:
        name = f"{low} or more" if high is None else f"{low} to {high}"
        yield "items in the session", name, (lengths >= low) & (lengths <= (high or lengths.max(initial=0)))


def _by_item(items: Items | None, labels: np.ndarray, day: str) -> Iterator[tuple[str, str, np.ndarray]]:
    if items is None:
        return
    inside = labels < len(items.counts)
    known = np.where(inside, labels, 0)
    third_of_label = items.thirds[known]
    for third, name in enumerate(POPULARITY):
        yield "item", name, inside & (third_of_label == third)
    first_days = items.first_days[known]
    # An hour lies in its day.
    yield "item", "seen on an earlier day", inside & (first_days < day[:10]) & (first_days != "")
    yield "item", "first seen on this day", inside & (first_days >= day[:10])


def _column(file: pa.Table, metric: str) -> np.ndarray:
    name = f"metric_{metric}"
    return file[name].to_numpy() if name in file.column_names else np.full(file.num_rows, np.nan)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
