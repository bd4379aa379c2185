"""Reads day files and collates them to batches: with pyarrow, streamed where memory asks for it, or with a library."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformers4recsys.batch import Batch
from transformers4recsys.data.parquet.ragged import RaggedTable, collate, concatenate_tables, to_ragged
from transformers4recsys.data.parquet.row_groups import SHARES_OF_MEMORY, RowGroup, row_groups
from transformers4recsys.data.readers.library import Library, Reading, require_room
from transformers4recsys.data.readers.protocol import batch_bounds, dealt_by_length, row_order
from transformers4recsys.data.readers.streaming import Order, Streamed, mapped
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

log = logging.getLogger(__name__)

# Rows are gathered for many batches at once: the cost of a call is then shared by all of them.
ROWS_AT_A_TIME = 8_192


IN_THE_PROCESS = Reading(workers_count=0)


class DayReader:
    """Yields the sessions of two or more items of some checked parquet files, batch by batch.

    A longer session keeps its last `session_length_max` items, a longer past its last `past_length_max`.
    A column with one value a row reads that value at each of the session's positions. Negatives stand position
    by position: those of the last items stay. Ids and longs are int64, floats float32, timestamps int64
    microseconds (or the integers that the file has). Threads, `reading.workers_count` of them, read row groups.

    Rows that take up to a fifth of `memory_bytes` are held, and shuffled as a whole; ranks then get about as many
    events of each step, those of histories not counted. More rows are streamed in blocks of that size: row groups come
    in shuffled order, and the rows of a block are shuffled, `buffer_rows` at a time if that is less. Where a `library`
    reads in place of pyarrow, they are refused; the batches are the same.

    With `has_all_items`, batches also hold the items of whole rows, as the column ALL_ITEMS.

    With `max_sessions`, only so many of the first sessions are sure to be read, by pyarrow; footers that are known need
    not be read again.
    """

    def __init__(
        self,
        files: Sequence[str],
        *,
        schema: Schema,
        batch_size: int,
        session_length_max: int,
        past_length_max: int = 0,
        has_all_items: bool = False,
        shuffle: bool = False,
        buffer_rows: int | None = None,
        max_sessions: int | None = None,
        seed: int = 0,
        day: datetime,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        library: Library | None = None,
        reading: Reading = IN_THE_PROCESS,
        memory_bytes: int = 4_000_000_000,
        footers: Mapping[str, pq.FileMetaData] | None = None,
    ):
        names = [feature.name for feature in schema.columns]
        lengths = {"session_length_max": session_length_max, "past_length_max": past_length_max}
        as_ragged = partial(to_ragged, schema=schema, **lengths, has_all_items=has_all_items)
        order = partial(row_order, shuffle=shuffle, seed=seed, day=day)
        groups = row_groups(files, schema, footers)
        block_bytes = memory_bytes // SHARES_OF_MEMORY
        num_bytes = sum(group.num_bytes for group in groups)
        self.source: _Held | Streamed
        if max_sessions is not None and _share(groups, max_sessions) * num_bytes <= block_bytes:
            self.source = _Held(first_pieces(groups, names, as_ragged, max_sessions), order)
        elif library:
            require_room(files, num_bytes, block_bytes)
            self.source = _Held(library.pieces(groups, names, reading, as_ragged), order)
        elif num_bytes <= block_bytes:

            def read(group: RowGroup) -> list[RaggedTable]:
                return as_ragged(group.read(names))

            pieces = mapped(read, groups, reading.workers_count)
            self.source = _Held(pieces, order)
        else:
            log.info("rows of %.1f GB are streamed in blocks of %.1f GB", num_bytes / 1e9, block_bytes / 1e9)
            self.source = Streamed(
                groups,
                names=names,
                item_name=schema.item_id.name,
                to_ragged=as_ragged,
                block_bytes=block_bytes,
                buffer_rows=buffer_rows,
                order=order,
                workers_count=reading.workers_count,
            )
        sizes = {"batch_size": batch_size, "world_size": world_size}
        bounds_of = partial(batch_bounds, self.num_rows, drop_last=drop_last, **sizes)
        self.bounds, self._num_steps = bounds_of(rank=rank), len(bounds_of(rank=world_size - 1))
        # Of streamed rows, a block need not hold all of a global batch.
        is_dealt = shuffle and world_size > 1 and isinstance(self.source, _Held)
        self._deal = partial(dealt_by_length, **sizes) if is_dealt else None

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def num_rows(self) -> int:
        return self.source.num_rows

    @property
    def num_steps(self) -> int:
        return self._num_steps

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of this rank in the order of the epoch."""
        first, place, rest = 0, 0, []
        for pieces, order in self.source.blocks(epoch):
            # What the last block left for the next batch of this rank comes before the rows of this one.
            order = np.concatenate([np.arange(len(rest[0][0])), order + len(rest[0][0])]) if rest else order
            columns = [concatenate_tables(same_columns) for same_columns in zip(*rest, *pieces, strict=True)]
            pieces.clear()
            if self._deal:
                order = self._deal(order, np.diff(columns[0].offsets))
            end = place + len(order)
            last = int(np.searchsorted(self.bounds[:, 1], end, side="right"))
            yield from batches_of(columns, order, self.bounds[first:last] - place)
            if last == len(self.bounds):
                return
            first, start = last, min(int(self.bounds[last, 0]), end)
            left_over = order[start - place :]
            rest, place = [[rows.take(left_over) for rows in columns]], start
            # The next block is read before these names are bound again.
            del columns, order
        if first < len(self.bounds):
            raise InputError("the day files became shorter while they were read; start again once they are written")


class _Held:
    """All rows in memory, as one block."""

    def __init__(self, pieces: Sequence[Sequence[RaggedTable]], order: Order):
        self.columns, self.order = (
            [concatenate_tables(same_columns) for same_columns in zip(*pieces, strict=True)],
            order,
        )
        self.num_rows = len(self.columns[0]) if self.columns else 0

    def blocks(self, epoch: int) -> Iterator[tuple[list[list[RaggedTable]], np.ndarray]]:
        if self.columns:
            yield [self.columns], self.order(self.num_rows, epoch=epoch)


def first_pieces(
    groups: Sequence[RowGroup],
    names: Sequence[str],
    to_ragged: Callable[[pa.Table], list[RaggedTable]],
    max_sessions: int,
) -> list[list[RaggedTable]]:
    """Read row groups slice by slice, until they hold so many sessions, or all there are."""
    pieces: list[list[RaggedTable]] = []
    num_lacking = max_sessions
    for group in groups:
        for rows in group.read_slices(names, ROWS_AT_A_TIME):
            pieces.append(to_ragged(pa.Table.from_batches([rows])))
            num_lacking -= len(pieces[-1][0])
            if num_lacking <= 0:
                return pieces
    return pieces


def _share(groups: Sequence[RowGroup], num_rows: int) -> float:
    return min(num_rows / max(sum(group.num_rows for group in groups), 1), 1)


def batches_of(columns: Sequence[RaggedTable], order: np.ndarray, bounds: np.ndarray) -> Iterator[Batch]:
    """Yield the batches that `bounds` (batches, 2) cuts out of the rows in this order."""
    first = 0
    while first < len(bounds):
        size = int(bounds[first, 1] - bounds[first, 0])
        together = bounds[first : first + max(ROWS_AT_A_TIME // size, 1)]
        rows = np.concatenate([order[start:stop] for start, stop in together])
        yield from collate([part.take(rows) for part in columns], np.diff(together)[:, 0])
        first += len(together)
