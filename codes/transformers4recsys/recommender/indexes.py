"""How the best items are found: by scoring all of them, or by an approximate index whose recall is measured."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from transformers4recsys.recommender.example_sessions import sessions_by_popularity
from transformers4recsys.recommender.lists import ListMaker

if TYPE_CHECKING:
    from transformers4recsys.recommender import Recommender

log = logging.getLogger(__name__)
NUM_SESSIONS, NUM_ITEMS = 256, 20
# Below, all items are scored in less time than an index of them takes to search.
MANY_ITEMS = 100_000


def exact(recommender: Recommender, lists: ListMaker) -> None:
    """Leave it at scoring all items."""


def approximate(recommender: Recommender, lists: ListMaker) -> None:
    """Build an index, and say how many items of exact lists it finds, of sessions made of popular items."""
    sessions, start = sessions_by_popularity(recommender, NUM_SESSIONS), time.perf_counter()
    exact_lists = _pairs(recommender, sessions)
    index = lists.use_index()
    found = len(exact_lists & _pairs(recommender, sessions)) / max(len(exact_lists), 1)
    log.info(
        "approximate index of %d items, made in %.1f s: it finds %.1f %% of the %d best items of exact lists",
        *(len(index), time.perf_counter() - start, 100 * found, NUM_ITEMS),
    )
    if len(index) < MANY_ITEMS:
        log.warning("`index` approximate pays from about %d items on; exact lists would be as fast", MANY_ITEMS)


def _pairs(recommender: Recommender, sessions: list[list[object]]) -> set[tuple[object, object]]:
    table = recommender.recommend(sessions, NUM_ITEMS)
    return set(zip(table.column("session").to_pylist(), table.column("item").to_pylist(), strict=True))


INDEXES: dict[str, Callable[[Recommender, ListMaker], None]] = {"exact": exact, "approximate": approximate}
