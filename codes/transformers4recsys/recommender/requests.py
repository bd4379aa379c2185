"""Sessions as they are asked about, looked up: their names, which of them hold a known item, and the model's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transformers4recsys.data.parquet.ragged import RaggedTable
from transformers4recsys.recommender.inference import Sessions
from transformers4recsys.recommender.item_ids import ItemIds, checked_lists
from transformers4recsys.recommender.item_inputs import ItemInputs


@dataclass(frozen=True)
class Request:
    """S sessions by `names` (S,); `known` (K,) are the places of those that the model reads, which `sessions` holds.

    These have a known item; where the model knows what an unknown item is, any item.
    """

    names: pa.Array
    known: np.ndarray
    sessions: Sessions
    item_column: str
    num_unknown: int = 0

    @classmethod
    def without_items(cls, names: pa.Array, item_column: str) -> Request:
        """Make the request of sessions in which no item is known."""
        nothing = RaggedTable(np.zeros(1, dtype=np.int64), {item_column: np.empty(0, dtype=np.int64)})
        return cls(names, np.empty(0, dtype=np.int64), Sessions(nothing), item_column)

    def seen(self) -> list[list[int]]:
        """List the known items of each session that the model reads."""
        table = self.sessions.current
        return [part[part > 0].tolist() for part in np.split(table.values[self.item_column], table.offsets[1:-1])]


def lists_of_ids(sessions: Iterable[object], item_ids: ItemIds) -> list[list[int]]:
    """Look up sessions that are given as lists of raw ids; 0 stands for an unknown one."""
    return item_ids.to_lists(checked_lists(dict(enumerate(sessions)), name="sessions"))


def of_lists(lists: Sequence[Sequence[int]], inputs: ItemInputs, *, keeps_unknown: bool = False) -> Request:
    """Make the request of lists of ids; unknown items are left out, unless the model knows what they are."""
    known_items = [[item for item in session if item or keeps_unknown] for session in lists]
    known = np.array([place for place, session in enumerate(known_items) if session], dtype=np.int64)
    lengths = np.array([len(session) for session in known_items if session], dtype=np.int64)
    items = np.array([item for session in known_items for item in session], dtype=np.int64)
    current = RaggedTable(np.concatenate([[0], lengths.cumsum()]), inputs.columns_of(items))
    num_unknown = sum(item == 0 for session in lists for item in session)
    return Request(pa.array(range(len(lists)), pa.int64()), known, Sessions(current), inputs.item_column, num_unknown)
