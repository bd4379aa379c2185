"""What a finished run holds, opened to be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
from torch import Tensor

from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

CONFIG, WEIGHTS, PROGRESS, VOCABULARY = "config.json", "model.safetensors", "progress.json", "vocabulary"
PREPROCESSING, ITEMS, CATEGORY_PRICES = "preprocessing.json", "items.parquet", "category_prices.parquet"


@dataclass(frozen=True)
class RunFolder:
    """The output folder of a run that has finished a day."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder; raise InputError where it is not one of a finished run."""
        folder = cls(Path(path).expanduser())
        for name in (CONFIG, WEIGHTS, PROGRESS):
            if not (folder.path / name).is_file():
                raise InputError(f"`run` {path} has no {name}; give the output folder of a run that finished a day")
        return folder

    @cached_property
    def settings(self) -> dict[str, Any]:
        return json.loads((self.path / CONFIG).read_text(encoding="utf-8"))

    @cached_property
    def schema(self) -> Schema:
        data = self.settings["data"]
        prefix = data["session_aware_features_prefix"]
        return Schema.from_entries(
            self.settings["features"],
            where=str(self.path / CONFIG),
            past_prefix=prefix if data["session_aware"] else None,
            ignored_prefix=prefix,
            negative_prefix=data["feature_prefix_neg_sample"],
        )

    def weights(self) -> dict[str, Tensor]:
        return safetensors.torch.load_file(self.path / WEIGHTS)

    @cached_property
    def vocabularies(self) -> dict[str, pa.Table]:
        return {path.stem: pq.read_table(path) for path in sorted((self.path / VOCABULARY).glob("*.parquet"))}

    @cached_property
    def preprocessing(self) -> dict[str, Any] | None:
        path = self.path / PREPROCESSING
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @property
    def recipe(self) -> dict[str, Any] | None:
        return self.preprocessing and self.preprocessing["settings"]

    @property
    def scales(self) -> dict[str, dict[str, float]]:
        return self.preprocessing["fitted"] if self.preprocessing else {}

    @cached_property
    def item_table(self) -> pa.Table | None:
        return self._table(ITEMS)

    @cached_property
    def category_prices(self) -> pa.Table | None:
        return self._table(CATEGORY_PRICES)

    @cached_property
    def progress(self) -> dict[str, Any]:
        return json.loads((self.path / PROGRESS).read_text(encoding="utf-8"))

    def _table(self, name: str) -> pa.Table | None:
        path = self.path / name
        return pq.read_table(path) if path.is_file() else None
