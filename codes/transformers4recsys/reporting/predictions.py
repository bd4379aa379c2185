"""Predictions in pred_logs/: a parquet file a day, a row a prediction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from transformers4recsys import distributed
from transformers4recsys.day_format import VOCABULARY_FOLDER
from transformers4recsys.errors import InputError
from transformers4recsys.outputs import Predictions, Report
from transformers4recsys.reporting.sink import Sink
from transformers4recsys.settings import setting


@dataclass(frozen=True)
class PredictionSettings:
    """Predictions: whether they are kept"""

    log_predictions: bool = setting(False, "write each prediction to pred_logs/")
    log_raw_item_ids: bool = setting(
        False,
        "write the raw item ids of the log beside the ids, where the day files were made by preprocess",
        used_if=lambda own: own.log_predictions,
        unused_because="`log_predictions` is off",
    )


PRED_LOGS = "pred_logs"
# By metadata column: what gives the texts behind numbers.
Texts: TypeAlias = Mapping[str, Callable[[np.ndarray], pa.Array]]
TextsOfDay: TypeAlias = Callable[[str], Texts]
NO_TEXTS: Texts = {}
# Rows wait until they make a row group worth writing.
ROW_GROUP_BYTES = 2**25


class PredictionFiles(Sink):
    """Writes `preds_date_YYYY-MM-DD.parquet`, which gets its name when the day has ended.

    Every process writes a part aside, in a folder that all share; the first one puts them together.
    """

    is_on_every_rank = True

    def __init__(self, output_dir: Path, raw_ids: pa.Array | None = None, texts_of: TextsOfDay = lambda day: {}):
        self._folder, self._raw_ids, self._texts_of = output_dir / PRED_LOGS, raw_ids, texts_of
        self._open: _Part | None = None
        self._texts: Texts = {}

    def predictions(self, predictions: Predictions, day: str) -> None:
        path = self._part_path(day, distributed.rank())
        if self._open is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open, self._texts = _Part(path), self._texts_of(day)
        assert self._open.path == path, f"the day of {self._open.path} has not ended"
        self._open.add(as_table(predictions, self._raw_ids, self._texts))

    def numbers(self, report: Report) -> None:
        if report.split != "eval":
            return
        has_part_by_rank = torch.zeros(distributed.world_size(), dtype=torch.long)
        if self._open is not None:
            self._open.close()
            has_part_by_rank[distributed.rank()] = 1
            self._open = None
        # Every process passes here once a day, so that the first one finds all parts whole.
        ranks = distributed.sum_over_ranks(has_part_by_rank).nonzero().flatten().tolist()
        if ranks and distributed.is_main():
            parts = [self._part_path(report.day, rank) for rank in ranks]
            _put_together(parts, path_of_day(self._folder.parent, report.day))

    def close(self) -> None:
        assert self._open is None, f"no eval numbers ended the day of {self._open.path}"

    def _part_path(self, day: str, rank: int) -> Path:
        return self._folder / f".preds_date_{day}.parquet.part{rank}"


def path_of_day(output_dir: Path, day: str) -> Path:
    """Name the file of a day's predictions."""
    return output_dir / PRED_LOGS / f"preds_date_{day}.parquet"


def raw_item_ids(data_path: str, item_column: str) -> pa.Array:
    """Give the raw item ids by id, null where there is none; raise InputError if no vocabulary lies with the days."""
    path = Path(data_path).expanduser() / VOCABULARY_FOLDER / f"{item_column}.parquet"
    try:
        vocabulary = pq.read_table(path, columns=["raw", "id"])
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"`log_raw_item_ids`: {path} cannot be read ({error}); `preprocess` writes it beside the day files. "
            "Leave the setting out where ids are their own raw ids"
        ) from error
    ids = vocabulary["id"].to_numpy()
    places = np.full(int(ids.max(initial=0)) + 1, -1)
    places[ids] = np.arange(len(ids))
    return vocabulary["raw"].combine_chunks().take(pa.array(places, mask=places < 0))


def as_table(predictions: Predictions, raw_ids: pa.Array | None = None, texts: Texts = NO_TEXTS) -> pa.Table:
    """Make P rows; scores are float32, whatever the precision of the model. With `raw_ids`, by id, items have both.

    Metadata columns that `texts` names are written as the texts behind their numbers.
    """

    def metadata(name: str, values: Tensor) -> np.ndarray | pa.Array:
        return texts[name](_numpy(values)) if name in texts else _numpy(values)

    raw = {}
    if raw_ids is not None:
        raw["relevant_raw_item_ids"] = _raw_lists(predictions.labels[:, None], raw_ids)
        raw["rec_raw_item_ids"] = _raw_lists(predictions.item_ids, raw_ids)
    return pa.table(
        {
            "relevant_item_ids": _lists(predictions.labels[:, None]),
            "rec_item_ids": _lists(predictions.item_ids),
            "rec_item_scores": _lists(predictions.scores.float()),
            **raw,
            "position": _numpy(predictions.positions),
            "length": _numpy(predictions.lengths),
            **{f"metadata_{name}": metadata(name, values) for name, values in predictions.metadata.items()},
            **{f"metric_{name}": _numpy(values) for name, values in predictions.metrics.items()},
        }
    )


class _Part:
    """One parquet file that grows by row groups; an older one of that name is replaced."""

    def __init__(self, path: Path):
        self.path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        self._writer = self._writer or pq.ParquetWriter(self.path, rows.schema)
        self._waiting.append(rows)
        if sum(table.nbytes for table in self._waiting) >= ROW_GROUP_BYTES:
            self._write()

    def close(self) -> None:
        self._write()
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        if self._writer is not None and self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []


def _put_together(parts: list[Path], path: Path) -> None:
    for part in parts:
        if not part.exists():
            raise InputError(
                f"--log_predictions: {part}, which another process wrote, is not there; "
                "all processes need one --output_dir on a disk they share"
            )
    whole = parts[0]
    if len(parts) > 1:
        whole = path.with_name(f".{path.name}.tmp")
        with pq.ParquetWriter(whole, pq.read_schema(parts[0])) as writer:
            for rows in _row_groups(parts):
                writer.write_table(rows)
    os.replace(whole, path)
    for part in parts:
        part.unlink(missing_ok=True)


def _row_groups(parts: list[Path]) -> Iterable[pa.Table]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            for index in range(file.num_row_groups):
                yield file.read_row_group(index)


def _lists(values_PK: Tensor) -> pa.ListArray:
    num_rows, width = values_PK.shape
    offsets = np.arange(num_rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(offsets, _numpy(values_PK.flatten()))


def _raw_lists(ids_PK: Tensor, raw_ids: pa.Array) -> pa.ListArray:
    num_rows, width = ids_PK.shape
    ids = _numpy(ids_PK.flatten())
    # A catalogue may have room for items that have not come yet.
    known = pa.array(ids, mask=ids >= len(raw_ids))
    return pa.ListArray.from_arrays(np.arange(num_rows + 1, dtype=np.int32) * width, raw_ids.take(known))


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
