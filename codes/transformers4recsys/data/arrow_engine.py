"""Reads whole day files with pyarrow into flat arrays and cuts them into batches, without a loop over rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.data.columns import as_input, flattened, to_numpy
from transformers4recsys.data.engine import batch_bounds, row_order
from transformers4recsys.data.files import open_parquet, unreadable
from transformers4recsys.schema import Feature, Schema

# Rows are gathered for many batches at once: the cost of a call is then shared by all of them.
ROWS_AT_A_TIME = 8_192


@dataclass(frozen=True)
class Rows:
    """R rows of columns whose lists are equally long: `offsets` (R+1,), and `values` (N,) by column name."""

    offsets: np.ndarray
    values: Mapping[str, np.ndarray]

    def take(self, rows: np.ndarray) -> Rows:
        """Take rows (T,) as they are."""
        return self.last(rows, self.offsets[rows + 1] - self.offsets[rows])

    def last(self, rows: np.ndarray, lengths: np.ndarray) -> Rows:
        """Take the last `lengths` values of each of `rows`, both (T,)."""
        offsets = np.concatenate([[0], lengths.cumsum()])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows + 1] - offsets[1:], lengths)
        return Rows(offsets, {name: values.take(places) for name, values in self.values.items()})


class ArrowEngine:
    """Holds the sessions of two or more items of some checked parquet files, and yields them batch by batch.

    A longer session keeps its last `session_length_max` items, a longer past its last `past_length_max`.
    A column with one value a row reads that value at each of the session's positions. Negatives stand position
    by position: those of the last items stay. Ids and longs are int64, floats float32, timestamps int64
    microseconds (or the integers that the file has). With `workers_count`, that many threads read row groups.
    """

    def __init__(
        self,
        files: Sequence[str],
        *,
        schema: Schema,
        batch_size: int,
        session_length_max: int,
        past_length_max: int = 0,
        shuffle: bool = False,
        seed: int = 0,
        day: datetime,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        workers_count: int = 0,
    ):
        self.shuffle, self.seed, self.day = shuffle, seed, day
        row_groups = []
        for file in files:
            metadata = open_parquet(file).metadata
            row_groups += [(file, metadata, number) for number in range(metadata.num_row_groups)]

        def read(row_group: tuple[str, pq.FileMetaData, int]) -> list[Rows]:
            table = read_row_group(*row_group, names=[feature.name for feature in schema.columns])
            return to_rows(table, schema, session_length_max=session_length_max, past_length_max=past_length_max)

        if workers_count:
            with ThreadPoolExecutor(workers_count) as threads:
                pieces = list(threads.map(read, row_groups))
        else:
            pieces = list(map(read, row_groups))
        self.columns = [joined(same_columns) for same_columns in zip(*pieces, strict=True)]
        self.bounds = batch_bounds(
            self.num_rows, batch_size=batch_size, rank=rank, world_size=world_size, drop_last=drop_last
        )

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def num_rows(self) -> int:
        return len(self.columns[0].offsets) - 1 if self.columns else 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of this rank in the order of the epoch."""
        order = row_order(self.num_rows, shuffle=self.shuffle, seed=self.seed, day=self.day, epoch=epoch)
        first = 0
        while first < len(self.bounds):
            size = int(self.bounds[first, 1] - self.bounds[first, 0])
            bounds = self.bounds[first : first + max(ROWS_AT_A_TIME // size, 1)]
            rows = np.concatenate([order[start:stop] for start, stop in bounds])
            yield from cut([columns.take(rows) for columns in self.columns], np.diff(bounds)[:, 0])
            first += len(bounds)


def read_row_group(file: str, metadata: pq.FileMetaData, number: int, *, names: list[str]) -> pa.Table:
    """Read some columns of one row group in the calling thread."""
    parquet = open_parquet(file, metadata)
    try:
        return parquet.read_row_group(number, columns=names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error


def to_rows(table: pa.Table, schema: Schema, *, session_length_max: int, past_length_max: int) -> list[Rows]:
    """Keep the sessions of two or more items, cut to their last ones.

    The current columns come first, then the past ones if there are any, then each column of negatives by itself.
    """
    current = read_rows(table, schema.features)
    lengths = np.diff(current.offsets)
    kept = np.flatnonzero(lengths > 1)
    kept_lengths = np.minimum(lengths[kept], session_length_max)
    all_rows = [_trimmed(current, kept, kept_lengths)]
    if schema.past:
        past = read_rows(table, tuple(schema.past.values()))
        all_rows.append(_trimmed(past, kept, np.minimum(np.diff(past.offsets)[kept], past_length_max)))
    for feature in schema.negatives.values():
        negatives = read_rows(table, (feature,))
        num_negatives = np.diff(negatives.offsets)[kept] // lengths[kept]
        all_rows.append(_trimmed(negatives, kept, num_negatives * kept_lengths))
    return all_rows


def read_rows(table: pa.Table, features: tuple[Feature, ...]) -> Rows:
    """Turn columns with equally long lists into flat arrays; a single value is repeated along its row's list."""
    flat = {feature.name: flattened(table.column(feature.name).combine_chunks()) for feature in features}
    offsets = next(own for _, own in flat.values() if own is not None)
    assert all(own is None or np.array_equal(own, offsets) for _, own in flat.values()), (
        "check_files() compares lengths"
    )
    values = {feature.name: as_input(to_numpy(flat[feature.name][0]), feature.dtype) for feature in features}
    is_single = {name: own is None for name, (_, own) in flat.items()}
    lengths = np.diff(offsets)
    return Rows(offsets, {name: of.repeat(lengths) if is_single[name] else of for name, of in values.items()})


def joined(pieces: Sequence[Rows]) -> Rows:
    """Put the rows of all pieces one behind the other."""
    if len(pieces) == 1:
        return pieces[0]
    lengths = np.concatenate([np.diff(piece.offsets) for piece in pieces])
    values = {name: np.concatenate([piece.values[name] for piece in pieces]) for name in pieces[0].values}
    return Rows(np.concatenate([[0], lengths.cumsum()]), values)


def cut(columns: Sequence[Rows], num_rows: np.ndarray) -> Iterator[Batch]:
    """Cut rows into batches of `num_rows` (batches,) each; all of the columns have as many rows as that."""
    firsts = num_rows.cumsum() - num_rows
    by_batch: list[dict[str, Jagged]] = [{} for _ in num_rows]
    for rows in columns:
        max_lengths = np.maximum.reduceat(np.diff(rows.offsets), firsts).tolist()
        num_values = (rows.offsets[firsts + num_rows] - rows.offsets[firsts]).tolist()
        # Each batch has one offset more than rows, and counts from its own first value.
        places = np.arange(num_rows.sum() + len(num_rows)) - np.repeat(np.arange(len(num_rows)), num_rows + 1)
        offsets = rows.offsets[places] - np.repeat(rows.offsets[firsts], num_rows + 1)
        offsets_by_batch = torch.from_numpy(offsets).split((num_rows + 1).tolist())
        for name, values in rows.values.items():
            values_by_batch = torch.from_numpy(values).split(num_values)
            for number, batch in enumerate(by_batch):
                batch[name] = Jagged(values_by_batch[number], offsets_by_batch[number], max_lengths[number])
    return map(Batch, by_batch)


def _trimmed(rows: Rows, kept: np.ndarray, lengths: np.ndarray) -> Rows:
    is_all = len(kept) == len(rows.offsets) - 1 and lengths.sum() == rows.offsets[-1]
    return rows if is_all else rows.last(kept, lengths)
