"""A run as the comparison sees it: its settings, its numbers by day, its predictions, and what its items are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.metrics.by_name import parts_of_clicks
from transformers4recsys.model_types import BASELINE_NAMES
from transformers4recsys.reporting.days import Numbers
from transformers4recsys.reporting.predictions import path_of_day
from transformers4recsys.reporting.result_files import read_days

EVAL = "eval_"


@dataclass(frozen=True)
class Items:
    """What the vocabulary says of each item id up to the highest, (V,): its events, and the day it came first."""

    counts: np.ndarray
    first_days: np.ndarray  # text, empty where none is known
    raw_ids: Sequence[Any]

    @classmethod
    def of(cls, vocabulary: pa.Table) -> Items:
        ids = vocabulary["id"].to_numpy()
        size = int(ids.max(initial=0)) + 1
        counts, first_days = np.zeros(size, dtype=np.int64), np.full(size, "", dtype=object)
        raw_ids: list[Any] = [None] * size
        counts[ids] = vocabulary["count"].to_numpy()
        first_days[ids] = vocabulary["first_day"].cast(pa.string()).to_pylist()
        for id_, raw in zip(ids.tolist(), vocabulary["raw"].to_pylist(), strict=True):
            raw_ids[id_] = raw
        return cls(counts, first_days, raw_ids)

    @cached_property
    def thirds(self) -> np.ndarray:
        """Sort items into those that make up the first, second and last third of events, most popular first, (V,)."""
        return parts_of_clicks(torch.from_numpy(self.counts)).numpy()


@dataclass(frozen=True)
class Run:
    """One run: `settings` by name, `days` are its evaluation numbers by day, the earliest first."""

    name: str
    folder: Path
    settings: Mapping[str, Any]
    days: Mapping[str, Numbers]
    num_items: int
    items: Items | None = None

    @classmethod
    def read(
        cls, name: str, folder: Path, sections: Mapping[str, Any], num_items: int, vocabulary: pa.Table | None
    ) -> Run:
        """Read the results that lie in the folder of a run; raise InputError if there are none."""
        days = read_days(folder).of_split("eval")
        if not days:
            raise InputError(f"{folder} has no evaluation results; train with `do_eval`, or leave the run out")
        settings = {
            name: value
            for section in sections.values()
            if isinstance(section, Mapping)
            for name, value in section.items()
            if not isinstance(value, Mapping)
        }
        return cls(name, folder, settings, days, num_items, Items.of(vocabulary) if vocabulary is not None else None)

    def value(self, day: str, metric: str) -> float | None:
        return self.days[day].get(f"{EVAL}{metric}")

    def predictions_of(self, day: str) -> Path | None:
        path = path_of_day(self.folder, day)
        return path if path.exists() else None

    @property
    def numbers(self) -> list[str]:
        """Name all that was reported, without eval_."""
        return list(dict.fromkeys(name.removeprefix(EVAL) for numbers in self.days.values() for name in numbers))

    def baselines_of(self, metric: str) -> list[str]:
        """Name what is reported beside the run for the same metric: most_popular of most_popular_ndcg@20."""
        ending = f"_{metric}"
        names = [name.removesuffix(ending) for name in self.numbers if name.endswith(ending)]
        # Other names in front are of parts of the targets, or metrics of their own, such as avg_precision@20.
        return [name for name in names if name in ("most_popular", *BASELINE_NAMES)]


def names_of(folders: Sequence[Path]) -> list[str]:
    """Name runs by the last parts of their folders, as many as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise InputError("the same folder is given twice; give each run once")
