"""Rows of ragged columns as flat arrays: made from an arrow table, selected, concatenated, and collated to batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from transformers4recsys.batch import ALL_ITEMS, Batch, Jagged
from transformers4recsys.data.parquet.columns import as_input, flattened, to_numpy
from transformers4recsys.schema import Feature, Schema


@dataclass(frozen=True)
class RaggedTable:
    """R rows of columns whose lists are equally long: `offsets` (R+1,), and `values` (N,) by column name."""

    offsets: np.ndarray
    values: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: np.ndarray) -> RaggedTable:
        """Take rows (T,) as they are."""
        return self.last(rows, self.offsets[rows + 1] - self.offsets[rows])

    def last(self, rows: np.ndarray, lengths: np.ndarray) -> RaggedTable:
        """Take the last `lengths` values of each of `rows`, both (T,)."""
        offsets = np.concatenate([[0], lengths.cumsum()])
        places: np.ndarray = np.repeat(self.offsets[rows + 1] - offsets[1:], lengths)
        places += np.arange(len(places))
        return RaggedTable(offsets, {name: values.take(places) for name, values in self.values.items()})


def to_ragged(
    table: pa.Table, schema: Schema, *, session_length_max: int, past_length_max: int, has_all_items: bool = False
) -> list[RaggedTable]:
    """Keep the sessions of two or more items, cut to their last ones.

    The current columns come first, then the past ones if there are any, then each column of negatives by itself, then
    ALL_ITEMS where asked for.
    """
    current = read_ragged(table, schema.features)
    lengths = np.diff(current.offsets)
    kept = np.flatnonzero(lengths > 1)
    kept_lengths = np.minimum(lengths[kept], session_length_max)
    all_rows = [_trimmed(current, kept, kept_lengths)]
    if schema.past:
        past = read_ragged(table, tuple(schema.past.values()))
        all_rows.append(_trimmed(past, kept, np.minimum(np.diff(past.offsets)[kept], past_length_max)))
    for feature in schema.negatives.values():
        negatives = read_ragged(table, (feature,))
        num_negatives = np.diff(negatives.offsets)[kept] // lengths[kept]
        all_rows.append(_trimmed(negatives, kept, num_negatives * kept_lengths))
    if has_all_items:
        all_rows.append(RaggedTable(current.offsets, {ALL_ITEMS: current.values[schema.item_id.name]}).take(kept))
    return all_rows


def read_ragged(table: pa.Table, features: tuple[Feature, ...]) -> RaggedTable:
    """Turn columns with equally long lists into flat arrays; a single value is repeated along its row's list."""
    flat = {feature.name: flattened(table.column(feature.name).combine_chunks()) for feature in features}
    offsets = next(own for _, own in flat.values() if own is not None)
    assert all(own is None or np.array_equal(own, offsets) for _, own in flat.values()), (
        "check_files() compares lengths"
    )
    values = {feature.name: as_input(to_numpy(flat[feature.name][0]), feature.dtype) for feature in features}
    is_single = {name: own is None for name, (_, own) in flat.items()}
    lengths = np.diff(offsets)
    return RaggedTable(offsets, {name: of.repeat(lengths) if is_single[name] else of for name, of in values.items()})


def concatenate_tables(pieces: Sequence[RaggedTable]) -> RaggedTable:
    """Put the rows of all pieces one behind the other."""
    if len(pieces) == 1:
        return pieces[0]
    lengths = np.concatenate([np.diff(piece.offsets) for piece in pieces])
    values = {name: np.concatenate([piece.values[name] for piece in pieces]) for name in pieces[0].values}
    return RaggedTable(np.concatenate([[0], lengths.cumsum()]), values)


def collate(columns: Sequence[RaggedTable], num_rows: np.ndarray) -> Iterator[Batch]:
    """Collate rows to batches of `num_rows` (batches,) each; all of the columns have as many rows as that."""
    firsts = num_rows.cumsum() - num_rows
    by_batch: list[dict[str, Jagged]] = [{} for _ in num_rows]
    for rows in columns:
        max_lengths = np.maximum.reduceat(np.diff(rows.offsets), firsts).tolist()
        num_values = (rows.offsets[firsts + num_rows] - rows.offsets[firsts]).tolist()
        # Each batch has one offset more than rows, and counts from its own first value.
        batch_of_offset = np.repeat(np.arange(len(num_rows)), num_rows + 1)
        places = np.arange(len(batch_of_offset)) - batch_of_offset
        offsets = rows.offsets[places] - np.repeat(rows.offsets[firsts], num_rows + 1)
        offsets_by_batch = torch.split(torch.as_tensor(offsets), (num_rows + 1).tolist())
        for name, values in rows.values.items():
            values_by_batch = torch.split(torch.as_tensor(values), num_values)
            for number, batch in enumerate(by_batch):
                batch[name] = Jagged(values_by_batch[number], offsets_by_batch[number], max_lengths[number])
    return map(Batch, by_batch)


def _trimmed(rows: RaggedTable, kept: np.ndarray, lengths: np.ndarray) -> RaggedTable:
    is_all = len(kept) == len(rows.offsets) - 1 and lengths.sum() == rows.offsets[-1]
    return rows if is_all else rows.last(kept, lengths)
