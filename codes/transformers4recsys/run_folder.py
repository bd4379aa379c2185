"""What a finished run holds, as one value: model, settings, schema, vocabularies, recipe, item table and progress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transformers4recsys.day_format import (
    CATEGORY_PRICES_FILE,
    ITEMS_FILE,
    MANIFEST_FILE,
    TIME_UNITS,
    VOCABULARY_FOLDER,
)
from transformers4recsys.errors import InputError
from transformers4recsys.run_files import MANIFEST, Content, Snapshot
from transformers4recsys.schema import Feature, Schema
from transformers4recsys.tensor_file import TensorFile

WEIGHTS, CONFIG, SCHEMA, PROGRESS = "model.safetensors", "config.json", "schema.json", "progress.json"
# Made by `update`: earlier models by day, and the day files.
UPDATES = "updates"
MODELS, DAYS_OF_RUN = f"{UPDATES}/models", f"{UPDATES}/days"
# Copied out of the folder of the day files, where `preprocess` made them.
VOCABULARY, PREPROCESSING, ITEMS = VOCABULARY_FOLDER, MANIFEST_FILE, ITEMS_FILE
COPIED = (PREPROCESSING, ITEMS, CATEGORY_PRICES_FILE)


@dataclass(frozen=True)
class Progress:
    """How far a run came: its last trained day (ISO), the optimizer steps of all its days, and its numbers.

    `days` says of each trained day its `day`, `num_steps` and main numbers, which are those of the day after it; `best`
    of each of these numbers, where it was best. The last day `awaits_evaluation` while the day after it is yet to come.
    """

    last_day: str
    num_steps: int
    days: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    best: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    awaits_evaluation: bool = False


@dataclass(frozen=True)
class RunFolder:
    """A run as it was when it was opened, checked against its manifest.

    `settings` are the sections of config.json. `vocabularies` are tables of raw, id, first_seen, first_day and count by
    column; there are none where ids are their own raw ids. `recipe` and `scales` (mean and std by column) come from
    `preprocess`, as does `preprocessing`, its whole manifest; None where the days came from elsewhere.
    """

    path: Path
    snapshot: Snapshot
    settings: Mapping[str, Any]
    schema: Schema
    progress: Progress
    vocabularies: Mapping[str, pa.Table]
    preprocessing: Mapping[str, Any] | None = None

    @classmethod
    def open(cls, path: str | Path, model: str | None = None) -> RunFolder:
        """Open the output folder of a run, or its `model` of an earlier day.

        Raise InputError if a file is damaged, missing or foreign.
        """
        path = model_folder(Path(path).expanduser(), model)
        snapshot = Snapshot.open(path)
        for name in (WEIGHTS, CONFIG, SCHEMA, PROGRESS):
            if name not in snapshot:
                raise InputError(f"{path}: the manifest does not list {name}; it is not the output folder of a run")
        _refuse_foreign_vocabularies(path, snapshot)
        try:
            return cls(
                path,
                snapshot,
                settings=_read_json(snapshot, CONFIG),
                schema=_schema_of(_read_json(snapshot, SCHEMA)),
                progress=Progress(**_read_json(snapshot, PROGRESS)),
                vocabularies={Path(n).stem: _read_table(snapshot, n) for n in snapshot.names_in(VOCABULARY)},
                preprocessing=_read_json(snapshot, PREPROCESSING) if PREPROCESSING in snapshot else None,
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} was written by another version of this program: {error}") from error

    @property
    def day_name(self) -> str:
        """The last day that the model was trained on, as its files name it."""
        unit = TIME_UNITS[self.settings["data"]["time_unit"]]
        return unit.name(datetime.fromisoformat(self.progress.last_day))

    # Both are read when they are asked for: lists of items need neither, and the first has a row for each item.
    @cached_property
    def item_table(self) -> pa.Table | None:
        """The last known raw values of each item's own columns; None where the days came from elsewhere."""
        return _read_table(self.snapshot, ITEMS) if ITEMS in self.snapshot else None

    @cached_property
    def category_prices(self) -> pa.Table | None:
        """The sums of prices by category and day; None where `preprocess` made none."""
        return _read_table(self.snapshot, CATEGORY_PRICES_FILE) if CATEGORY_PRICES_FILE in self.snapshot else None

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        return self.preprocessing["settings"] if self.preprocessing else None

    @property
    def scales(self) -> Mapping[str, Mapping[str, float]] | None:
        return self.preprocessing["fitted"] if self.preprocessing else None

    def weights(self) -> TensorFile:
        """Open the weights and buffers of the model, by name; each is read when it is asked for."""
        return self.tensors(WEIGHTS)

    def tensors(self, name: str) -> TensorFile:
        """Open a safetensors file of the run."""
        try:
            return TensorFile(self.snapshot.file(name))
        except ValueError as error:
            raise InputError(f"{self.path / name} is not a safetensors file: {error}") from error


def model_folder(run: Path, day: str | None) -> Path:
    """Find the model of a run's day, which may be the run's own; raise InputError where it is not kept."""
    if day is None or (run / MODELS / day / MANIFEST).is_file():
        return run / MODELS / day if day else run
    own = RunFolder.open(run).day_name
    if day == own:
        return run
    there = ", ".join([*models_of(run), own])
    raise InputError(f"{run} has no model of {day!r}; there are {there} (`update --keep n` keeps earlier ones)")


def models_of(run: Path) -> list[str]:
    """List the days of the earlier models of a run, the oldest first."""
    return sorted(path.parent.name for path in (run / MODELS).glob(f"*/{MANIFEST}"))


def schema_as_json(schema: Schema) -> dict[str, Any]:
    """Lay a schema out for schema.json; prefixes of columns have been sorted out in it."""
    return {
        "features": [asdict(feature) for feature in schema.features],
        "past": {name: asdict(feature) for name, feature in schema.past.items()},
        "negatives": {name: asdict(feature) for name, feature in schema.negatives.items()},
        "ignored": list(schema.ignored),
    }


def copied_contents(data_path: str | Path) -> dict[str, Content]:
    """Collect what `preprocess` put beside the day files and using the model needs; nothing for other day files."""
    folder = Path(data_path).expanduser()
    files = [folder / name for name in COPIED]
    files += sorted((folder / VOCABULARY).glob("*.parquet"))
    return {file.relative_to(folder).as_posix(): _bytes_of(file) for file in files if file.exists()}


def as_json(value: object) -> bytes:
    """Write a value as the JSON files of a run are written."""
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()


def _refuse_foreign_vocabularies(path: Path, snapshot: Snapshot) -> None:
    for file in sorted((path / VOCABULARY).glob("*")):
        if not file.name.startswith(".") and f"{VOCABULARY}/{file.name}" not in snapshot:
            raise InputError(f"{file} does not belong to this run: its manifest does not list it; remove it")


def _bytes_of(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    # Spark writes a table as a folder of parts.
    buffer = pa.BufferOutputStream()
    pq.write_table(pq.read_table(path), buffer)
    return buffer.getvalue().to_pybytes()


def _schema_of(value: Mapping[str, Any]) -> Schema:
    return Schema(
        tuple(Feature(**feature) for feature in value["features"]),
        {name: Feature(**feature) for name, feature in value["past"].items()},
        {name: Feature(**feature) for name, feature in value["negatives"].items()},
        tuple(value["ignored"]),
    )


def _read_json(snapshot: Snapshot, name: str) -> Any:
    try:
        return json.loads(snapshot.read(name))
    except ValueError as error:
        raise InputError(f"{snapshot.folder / name} is not JSON: {error}") from error


def _read_table(snapshot: Snapshot, name: str) -> pa.Table:
    try:
        # pq.read_table() would import pandas, where it is installed.
        return pq.ParquetFile(pa.BufferReader(snapshot.read(name))).read()
    except pa.ArrowException as error:
        raise InputError(f"{snapshot.folder / name} is not a parquet file: {error}") from error
