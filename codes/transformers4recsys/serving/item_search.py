"""Items found by a part of their raw id or title, fast enough to be asked at each key that a person types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class ItemSearch:
    """Looks for text in the titles by raw id, whatever its case; an item without a title has an empty one."""

    def __init__(self, titles: Mapping[Any, str]):
        self._items = [item for item in titles if item is not None]
        self._ids = pa.array(map(str, self._items), pa.string())
        self._lower_ids = pc.utf8_lower(self._ids)
        self._titles = pc.utf8_lower(pa.array((titles[item] for item in self._items), pa.string()))

    def find(self, text: str, limit: int) -> list[Any]:
        """List raw ids: the item of just this id, those of this id or title, those that begin with it, the others."""
        wanted = pc.utf8_lower(pa.scalar(text)).as_py()
        holds = pc.or_(pc.match_substring(self._lower_ids, wanted), pc.match_substring(self._titles, wanted))
        places = pc.indices_nonzero(holds)
        ids, lower_ids, titles = (column.take(places) for column in (self._ids, self._lower_ids, self._titles))
        equals = pc.or_(pc.equal(lower_ids, wanted), pc.equal(titles, wanted))
        begins = pc.or_(pc.starts_with(lower_ids, wanted), pc.starts_with(titles, wanted))
        rank = pc.if_else(pc.equal(ids, text), 0, pc.if_else(equals, 1, pc.if_else(begins, 2, 3)))
        found = pa.table({"rank": rank, "id": ids, "place": places})
        best = pc.select_k_unstable(found, k=limit, sort_keys=[("rank", "ascending"), ("id", "ascending")])
        return [self._items[place] for place in found.column("place").take(best).to_pylist()]
