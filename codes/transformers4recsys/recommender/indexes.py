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


def exact(recommender: Recommender, lists: ListMaker) -> None:
    """Leave it at scoring all items."""


def approximate(recommender: Recommender, lists: ListMaker) -> None:
    """Build an index, and say how many items of exact lists it finds, of sessions made of popular items, and how fast.

    Where exact lists take no longer, as over few items, a warning says so.
    """
    sessions = sessions_by_popularity(recommender, NUM_SESSIONS)
    # The first answer takes longer than others.
    _timed_pairs(recommender, sessions)
    exact_pairs, exact_seconds = _timed_pairs(recommender, sessions)
    start = time.perf_counter()
    index = lists.use_index()
    made = time.perf_counter() - start
    pairs, seconds = _timed_pairs(recommender, sessions)
    found = len(exact_pairs & pairs) / max(len(exact_pairs), 1)
    log.info(
        "approximate index of %d items, made in %.1f s: it finds %.1f %% of the %d best items of exact lists; "
        "%d lists take %.2f s, exact ones %.2f",
        *(len(index), made, 100 * found, NUM_ITEMS, NUM_SESSIONS, seconds, exact_seconds),
    )
    if seconds >= exact_seconds:
        log.warning("`index` approximate: exact lists take no longer here; leave it out")


def _timed_pairs(recommender: Recommender, sessions: list[list[object]]) -> tuple[set[tuple[object, object]], float]:
    """Give the sessions with their items, and the seconds that it took."""
    start = time.perf_counter()
    table = recommender.recommend(sessions, NUM_ITEMS)
    seconds = time.perf_counter() - start
    return set(zip(table.column("session").to_pylist(), table.column("item").to_pylist(), strict=True)), seconds


INDEXES: dict[str, Callable[[Recommender, ListMaker], None]] = {"exact": exact, "approximate": approximate}
