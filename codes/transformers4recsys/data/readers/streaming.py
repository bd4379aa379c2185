"""Streams row groups in bounded memory: read ahead in threads, gathered to blocks, each block shuffled inside."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa

from transformers4recsys.data.parquet.ragged import RaggedTable
from transformers4recsys.data.parquet.row_groups import RowGroup

T = TypeVar("T")

# Orders the rows of a part of an epoch: row_order() with seed and day filled in.
Order = Callable[..., np.ndarray]


class Streamed:
    """Yields row groups in an order of the epoch, as blocks of at most `block_bytes`, or of one piece.

    A piece is a row group, or a slice of one that takes more than half a block. Half a block more is read ahead.
    What a block holds depends on its size and on the order alone, not on the number of workers.
    """

    def __init__(
        self,
        groups: Sequence[RowGroup],
        *,
        names: Sequence[str],
        item_name: str,
        to_ragged: Callable[[pa.Table], list[RaggedTable]],
        block_bytes: int,
        buffer_rows: int | None = None,
        order: Order,
        workers_count: int,
    ):
        self.groups, self.names, self.to_ragged, self.order = groups, names, to_ragged, order
        self.block_bytes, self.ahead_bytes, self.workers_count = block_bytes, block_bytes // 2, workers_count
        self.buffer_rows = buffer_rows
        self.num_rows = sum(mapped(partial(RowGroup.count_sessions, item_name=item_name), groups, workers_count))

    def blocks(self, epoch: int) -> Iterator[tuple[list[list[RaggedTable]], np.ndarray]]:
        """Yield the pieces of each block, and the order of their rows."""
        numbers: list[int] = self.order(len(self.groups), epoch=epoch).tolist()
        groups = [self.groups[number] for number in numbers]
        sizes = [size for group in groups for size in self._sizes(group)]
        pieces = read_ahead(self._steps(groups), num_threads=self.workers_count, max_bytes=self.ahead_bytes)
        for part, num_pieces in enumerate(block_lengths(sizes, self.block_bytes), start=1):
            # No name here may keep the pieces: the next block is read while they are let go.
            yield self._block(pieces, num_pieces, epoch, part)

    def _block(
        self, pieces: Iterator[list[RaggedTable]], num_pieces: int, epoch: int, part: int
    ) -> tuple[list[list[RaggedTable]], np.ndarray]:
        block = list(islice(pieces, num_pieces))
        num_rows = sum(len(columns[0]) for columns in block)
        return block, self.order(num_rows, epoch=epoch, part=part, buffer_rows=self.buffer_rows)

    def _sizes(self, group: RowGroup) -> list[int]:
        """Give the bytes of each piece of a row group."""
        num_pieces = min(-(-group.num_bytes // self.ahead_bytes), group.num_rows)
        if num_pieces <= 1:
            return [group.num_bytes]
        num_rows = -(-group.num_rows // num_pieces)
        num_pieces = -(-group.num_rows // num_rows)
        return [group.num_bytes // num_pieces] * num_pieces

    def _steps(self, groups: Iterable[RowGroup]) -> Iterator[tuple[Iterator[list[RaggedTable]], int]]:
        for group in groups:
            sizes = self._sizes(group)
            if len(sizes) == 1:
                tables = map(group.read, [self.names])
            else:
                slices = group.read_slices(self.names, -(-group.num_rows // len(sizes)))
                tables = (pa.Table.from_batches([rows]) for rows in slices)
            pieces = map(self.to_ragged, tables)
            yield from ((pieces, size) for size in sizes)


def block_lengths(sizes: Sequence[int], most: int) -> list[int]:
    """Say how many pieces, one after the other, make up each block: as many as stay within `most`, but one."""
    lengths: list[int] = []
    held = 0
    for size in sizes:
        if lengths and held + size <= most:
            lengths[-1] += 1
            held += size
        else:
            lengths.append(1)
            held = size
    return lengths


def read_ahead(steps: Iterable[tuple[Iterator[T], int]], *, num_threads: int, max_bytes: int) -> Iterator[T]:
    """Yield the next item of each step's iterator, in the order of the steps.

    Threads read items of together at most `max_bytes` ahead, but always one; without threads nothing is read ahead.
    Steps that share an iterator stand next to each other.
    """
    if not num_threads:
        yield from (next(items) for items, _ in steps)
        return
    threads = ThreadPoolExecutor(num_threads)
    waiting: deque[tuple[Future[T], int]] = deque()
    last_items, last = None, None
    try:
        for items, size in steps:
            while waiting and sum(size for _, size in waiting) + size > max_bytes:
                yield waiting.popleft()[0].result()
            last = threads.submit(_next_after, last if items is last_items else None, items)
            last_items = items
            waiting.append((last, size))
        last = None
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        threads.shutdown(cancel_futures=True)


def mapped(function: Callable[..., T], arguments: Iterable[object], num_threads: int) -> list[T]:
    """Apply a function to each argument, in so many threads, or in the calling one if there are none."""
    if not num_threads:
        return list(map(function, arguments))
    with ThreadPoolExecutor(num_threads) as threads:
        return list(threads.map(function, arguments))


def _next_after(before: Future[T] | None, items: Iterator[T]) -> T:
    if before:
        before.result()
    return next(items)
