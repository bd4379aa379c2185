"""What every reader promises, and the order in which it deals the rows out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import numpy as np

from transformers4recsys.batch import Batch


class Reader(Protocol):
    """Reads the day files of one training or evaluation run and yields its batches on this rank."""

    def __len__(self) -> int:
        """Number of batches on this rank."""
        ...

    @property
    def num_rows(self) -> int:
        """Sessions an epoch, over all ranks."""
        ...

    @property
    def num_steps(self) -> int:
        """Number of batches on the rank that has most; a rank has as many, or one less."""
        ...

    def batches(self, epoch: int) -> Iterator[Batch]: ...


def row_order(
    num_rows: int,
    *,
    shuffle: bool,
    seed: int,
    day: datetime,
    epoch: int,
    part: int = 0,
    buffer_rows: int | None = None,
) -> np.ndarray:
    """Give the order of all rows in one epoch, (num_rows,), whatever the number of processes and workers.

    `part` counts the parts of an epoch that are shuffled by themselves, 0 where there is but one. With `buffer_rows`,
    each run of so many rows is shuffled by itself.
    """
    if not shuffle:
        return np.arange(num_rows)
    hour = day.toordinal() * 24 + day.hour
    sequence = np.random.SeedSequence([seed, hour, epoch, part])
    order = np.random.Generator(np.random.PCG64(sequence)).permutation(num_rows)
    # A stable sort by buffer keeps the drawn order inside each.
    return order if buffer_rows is None else order[np.argsort(order // buffer_rows, kind="stable")]


def batch_bounds(
    num_rows: int, *, batch_size: int, rank: int = 0, world_size: int = 1, drop_last: bool = False
) -> np.ndarray:
    """Say which places of the order make up the batches of a rank: (batches, 2), from and up to, never empty.

    A global batch is `batch_size` rows for each rank, rank by rank: what one process reads with a batch of that size.
    The rows that are left over at the end are dealt out as evenly as possible, to the last ranks if they are fewer
    than the ranks: the others then have a batch less. `drop_last` leaves the left-over rows out.
    """
    global_size = batch_size * world_size
    num_full, left_over = divmod(num_rows, global_size)
    if drop_last:
        left_over = 0
    starts = np.arange(num_full) * global_size + rank * batch_size
    bounds = np.stack([starts, starts + batch_size], axis=1)
    last = num_full * global_size + left_over * np.array([[rank, rank + 1]]) // world_size
    return np.concatenate([bounds, last]) if last[0, 0] < last[0, 1] else bounds


def dealt_by_length(order: np.ndarray, lengths: np.ndarray, *, batch_size: int, world_size: int) -> np.ndarray:
    """Change the order of rows inside each full global batch, so that its ranks get about as many events each.

    Ranks wait for the one with most. By their `lengths`, each next `world_size` rows of a batch go to one rank each,
    from the first to the last and back. The first is another one in each batch, as what is left between ranks would
    add up over the micro-batches of a step.
    """
    num_full = len(order) // (batch_size * world_size)
    global_BG = order[: num_full * batch_size * world_size].reshape(num_full, batch_size * world_size)
    by_length_BG = np.take_along_axis(global_BG, lengths[global_BG].argsort(axis=1, kind="stable"), axis=1)
    dealt = by_length_BG.reshape(num_full, batch_size, world_size)
    dealt[:, 1::2] = dealt[:, 1::2, ::-1].copy()
    rank_of = (np.arange(world_size) + np.arange(num_full)[:, None]) % world_size
    dealt = np.take_along_axis(dealt, rank_of[:, None], axis=2)
    return np.concatenate([dealt.transpose(0, 2, 1).reshape(-1), order[global_BG.size :]])
