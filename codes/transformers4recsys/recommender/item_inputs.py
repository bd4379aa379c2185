"""What a model reads beside item ids, where nothing but ids is given: what the run knows of each item."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from transformers4recsys.data.parquet.ragged import concatenate_tables
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.schema import Feature, Schema

if TYPE_CHECKING:
    from transformers4recsys.recommender.events import EventReader

log = logging.getLogger(__name__)
# The inputs of so many items are worked out at once, when the first of them is asked for.
FEW_ITEMS = 100_000


class ItemInputs:
    """The input columns of items by id. Each item goes through the steps of raw events once, as an event without time.

    What depends on times reads 0 then, as does everything but the ids where a run has no recipe.
    """

    def __init__(self, schema: Schema, item_ids: ItemIds, open_reader: Callable[[], EventReader] | None):
        self.item_column = schema.item_id.name
        self._others = tuple(feature for feature in schema.features if feature != schema.item_id)
        self._item_ids, self._open_reader = item_ids, open_reader
        self._columns = {of.name: np.zeros(item_ids.num_items, dtype=_kind(of)) for of in self._others}
        self._is_there = ~item_ids.has_raw_id
        if self._others and open_reader is None:
            names = ", ".join(of.name for of in self._others)
            log.warning("lists of ids do not say what the model reads beside them, so it reads 0: %s", names)

    def columns_of(self, items: np.ndarray) -> dict[str, np.ndarray]:
        """Give the input columns of items (N,), by name, (N,) each."""
        if self._others and self._open_reader:
            missing = np.unique(items[~self._is_there[items]])
            if len(missing):
                is_small = len(self._is_there) <= FEW_ITEMS
                self._work_out(np.flatnonzero(~self._is_there) if is_small else missing, self._open_reader())
        return {self.item_column: items} | {name: values[items] for name, values in self._columns.items()}

    def _work_out(self, items: np.ndarray, reader: EventReader) -> None:
        raw = self._item_ids.to_raw(items).to_pylist()
        with reader.opened_table(reader.of_lists([[item] for item in raw])) as found:
            tables = [request.sessions.current for request in reader.requests(found) if len(request.known)]
        rows = concatenate_tables(tables)
        places = rows.values[self.item_column]
        for name, values in self._columns.items():
            values[places] = rows.values[name]
        self._is_there[items] = True


def _kind(feature: Feature) -> type[np.generic]:
    return np.float32 if feature.dtype == "float" else np.int64
