"""A run folder becomes one ONNX file and what is needed beside it: raw ids, columns, and the length of sessions."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformers4recsys.data.parquet.ragged import RaggedTable
from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender
from transformers4recsys.recommender.example_sessions import sessions_by_popularity
from transformers4recsys.serving.graph import RecommendationGraph
from transformers4recsys.serving.onnx_export import compare, export_onnx
from transformers4recsys.settings import check, required, setting

NUM_SESSIONS = 256
BATCH = 64


@dataclass(frozen=True)
class ExportSettings:
    """Export: a trained run as one ONNX file, with the ids beside it"""

    run: str | None = setting(None, "output folder of a run")
    model: str | None = setting(None, "day of an earlier model that update has kept; the newest without it")
    output: str | None = setting(None, "file to write, model.onnx; what is needed beside it goes to model.json")
    format: str = setting("onnx", "kind of file", choices=("onnx",))
    k: int = setting(100, "length of the lists that the graph gives", at_least=1)

    def __post_init__(self) -> None:
        required(self, "run", "output")
        check(self)


def export(recommender: Recommender, settings: ExportSettings, *, name: str) -> float:
    """Write the files of an export, compared with the model; give the largest difference of a score.

    `name` is that of the encoder. Nothing is written where the encoder cannot be exported.
    """
    path = Path(settings.output or "").expanduser()
    if path.suffix != ".onnx":
        raise InputError(f"`output` {path}: give a file whose name ends in .onnx")
    graph = graph_of(recommender, settings.k)
    sessions = sessions_by_popularity(recommender, NUM_SESSIONS)
    batches = [sessions[first : first + BATCH] for first in range(0, len(sessions), BATCH)]
    # A graph that holds for one size alone shows at another one.
    columns = [inputs_of(recommender, batch) for batch in (*batches, sessions[:1])]
    excluded = [of[graph.session.item_column][:, :2].contiguous() for of in columns]
    aside = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        export_onnx(graph, columns[0], aside, name=name)
        difference = compare(aside, graph, list(zip(columns, excluded, strict=True)))
        os.replace(aside, path)
        path.with_suffix(".json").write_text(json.dumps(description(recommender, graph)) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`output` {path}: {error.strerror or error}; give a file that can be written") from error
    finally:
        # A folder that cannot be written to refuses this too, even where there is nothing to remove.
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return difference


def graph_of(recommender: Recommender, k: int) -> RecommendationGraph:
    """Make the graph of a run, in which spare ids are never recommended."""
    inference = recommender.inference
    model = inference.model.cpu()
    if model.has_gradients is False:
        raise InputError(f"{recommender.encoder_name} is a baseline, which has no graph: serve it from its run")
    has_raw_id_V = np.array([raw is not None for raw in recommender.item_ids.to_pylist()])
    return RecommendationGraph(model, k=min(k, int(has_raw_id_V.sum())), is_item_V=torch.from_numpy(has_raw_id_V))


def description(recommender: Recommender, graph: RecommendationGraph) -> dict[str, Any]:
    """Say what the graph reads and gives: columns by name, the raw id of each item id, and the longest session."""
    schema = recommender.inference.schema
    return {
        "last_day": recommender.last_day,
        "k": graph.k,
        "longest_session": recommender.inference.longest_session,
        "item_column": schema.item_id.name,
        "columns": {feature.name: "float32" if feature.dtype == "float" else "int64" for feature in schema.inputs},
        "raw_item_ids": recommender.item_ids.to_pylist(),
    }


def inputs_of(recommender: Recommender, sessions: Sequence[Sequence[Any]]) -> dict[str, Tensor]:
    """Give the input columns of sessions of known items, padded on the right with 0, (B, L) each."""
    inference = recommender.inference
    table = recommender.request(sessions).sessions.current
    rows = np.arange(len(table))
    table = table.last(rows, np.minimum(np.diff(table.offsets), inference.longest_session))
    return {feature.name: _padded(table, table.values[feature.name]) for feature in inference.schema.inputs}


def _padded(table: RaggedTable, values: np.ndarray) -> Tensor:
    lengths = np.diff(table.offsets)
    padded = np.zeros((len(table), lengths.max()), dtype=values.dtype)
    padded[np.arange(lengths.max()) < lengths[:, None]] = values
    return torch.from_numpy(padded)
