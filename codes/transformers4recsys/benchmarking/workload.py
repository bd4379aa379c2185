"""Made-up sessions to measure with: popular items by Zipf's law, each with items that often follow it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUM_FOLLOWERS, SHARE_THAT_FOLLOWS = 8, 0.6


def write_sessions(path: Path, *, num_items: int, num_sessions: int, length: float, longest: int, seed: int) -> None:
    """Write sessions of 2 to `longest` items, `length` on average where nothing cuts them, ids 1 to `num_items`."""
    generator = np.random.default_rng(seed)
    lengths = np.clip(1 + generator.geometric(1 / (length - 1), num_sessions), 2, longest)
    starts = np.concatenate([[0], lengths.cumsum()])
    popularity = (1 / np.arange(1, num_items + 1)).cumsum()
    popularity /= popularity[-1]
    by_rank = generator.permutation(num_items)
    followers = by_rank[np.searchsorted(popularity, generator.random((num_items, NUM_FOLLOWERS)))]
    items = by_rank[np.searchsorted(popularity, generator.random(starts[-1]))]
    which = generator.integers(NUM_FOLLOWERS, size=starts[-1])
    follows = generator.random(starts[-1]) < SHARE_THAT_FOLLOWS
    for step in range(1, longest):
        places = starts[:-1][lengths > step] + step
        places = places[follows[places]]
        items[places] = followers[items[places - 1], which[places]]
    seconds = generator.integers(5, 120, starts[-1]).cumsum()
    columns = {
        name: pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(values))
        for name, values in (("items", items + 1), ("times", seconds))
    }
    pq.write_table(pa.table(columns), path, row_group_size=65_536)
