"""Raw item ids and the ids of the model, in both directions."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from numbers import Integral
from typing import Any, cast

import numpy as np
import pyarrow as pa

from transformers4recsys.data.parquet.columns import is_text
from transformers4recsys.errors import InputError
from transformers4recsys.recommender.value_index import ValueIndex

WHOLE_NUMBER = re.compile(r"[+-]?\d{1,19}")
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def checked_lists(lists: Mapping[Hashable, object], *, name: str) -> list[Iterable[object]]:
    """Give the lists of sessions as they are; InputError that names the session of what is none."""
    for session, ids in lists.items():
        if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
            raise InputError(f"`{name}`: session {session} is {ids!r}; give a list of raw item ids for each session")
    return [cast("Iterable[object]", ids) for ids in lists.values()]


class ItemIds:
    """The catalogue of a run: `raw` ids, and the `ids` (N,) that stand for them in the model; 0 stands for unknown."""

    def __init__(self, raw: pa.Array, ids: np.ndarray, *, num_items: int):
        self.raw, self.num_items = raw, num_items
        self._ids = ids
        self._place_of_id = np.full(num_items, -1, dtype=np.int64)
        self._place_of_id[ids] = np.arange(len(ids))

    @classmethod
    def from_vocabulary(cls, vocabulary: pa.Table | None, *, num_items: int) -> ItemIds:
        """Read the columns raw and id; without a vocabulary, each id from 1 is its own raw id."""
        if vocabulary is None:
            ids = np.arange(1, num_items)
            return cls(pa.array(ids), ids, num_items=num_items)
        ids = vocabulary.column("id").to_numpy()
        raw = vocabulary.column("raw").combine_chunks()
        is_known = (ids > 0) & (ids < num_items)
        if not is_known.all():
            # A vocabulary can have grown since the model was trained.
            raw, ids = raw.filter(pa.array(is_known)), ids[is_known]
        return cls(raw, ids, num_items=num_items)

    @property
    def has_raw_id(self) -> np.ndarray:
        """Whether each id of the model stands for a raw one, (V,): spare ids and padding do not."""
        return self._place_of_id >= 0

    @cached_property
    def _index(self) -> ValueIndex:
        return ValueIndex(self.raw)

    def to_ids(self, values: Iterable[Any]) -> list[int]:
        """Look raw ids up; 0 for those that the run does not know.

        Whole numbers written as text and text made of digits are taken for each other, whichever the vocabulary has.
        """
        places = self._index.places([*map(as_text if is_text(self.raw.type) else as_number, values)])
        is_known = places >= 0
        ids = np.zeros(len(places), dtype=np.int64)
        ids[is_known] = self._ids[places[is_known]]
        return ids.tolist()

    def to_lists(self, lists: Iterable[Iterable[Any]]) -> list[list[int]]:
        """Look many lists of raw ids up at once, as `to_ids` does each."""
        given = [list(each) for each in lists]
        ids = iter(self.to_ids(chain.from_iterable(given)))
        return [list(islice(ids, len(each))) for each in given]

    def to_raw(self, ids: np.ndarray) -> pa.Array:
        """Give the raw ids of ids (N,) that have one."""
        return self.raw.take(pa.array(self._place_of_id[ids]))


def as_text(value: Any) -> str | None:
    """Spell a raw id as text; None for what is no id, such as a float."""
    if isinstance(value, str):
        return value
    return str(int(value)) if not isinstance(value, bool) and isinstance(value, Integral) else None


def as_number(value: Any) -> int | None:
    """Read a raw id as a whole number of 64 bits; None for what is none."""
    if isinstance(value, str):
        value = int(value) if WHOLE_NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    number = int(value)
    return number if SMALLEST <= number <= LARGEST else None


def is_nested(ids: Sequence[Any]) -> bool:
    """Say whether there is one list a session, in place of one for all sessions."""
    return any(isinstance(each, (list, tuple, set, frozenset, np.ndarray)) for each in ids)
