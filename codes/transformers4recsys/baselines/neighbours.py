"""Session neighbours: earlier sessions with items of this one, and the items that they have (V-SkNN, STAN, VSTAN).

Letters: `N` items of the current sessions, `C` pairs of a current session and an earlier one that shares items with it,
`K` such pairs that are kept as neighbours, `X` items of neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from transformers4recsys.baselines.sessions import Sessions, offsets_of, ragged_places, summed_by_key

# Places of items in earlier sessions that are looked at together.
PLACES_AT_A_TIME = 2**21
Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Definition:
    """What tells the methods of session neighbours apart.

    `position_weight(from_end, length)` weighs an item of the current session by the items behind it, where it occurs
    last. The similarity of an earlier session is the sum of the weights of shared items, with `is_cosine` over the root
    of its number of items, and halved by `age_weight(days)`. Each of its items adds the similarity times
    `match_weight(from_end)` of the latest shared item, `distance_weight` of its distance to the last shared item
    of the earlier session, and 1 + `idf` times the logarithm of sessions over sessions with the item.
    """

    neighbours: int
    sample_size: int
    position_weight: Callable[[np.ndarray, np.ndarray], np.ndarray]
    match_weight: Function
    is_cosine: bool
    age_weight: Function | None = None
    distance_weight: Function | None = None
    idf: float = 0.0


class SessionNeighbours:
    """Keeps of each item the `sample_size` latest sessions that have it: no other can be in a sample."""

    def __init__(self, definition: Definition):
        self.definition = definition
        # The distinct items of all kept sessions by session, and the places where they occur last, from 0.
        self._items, self._places = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
        self._offsets, self._days = np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64)
        self._num_sessions, self._sessions_V = 0, np.empty(0, dtype=np.int64)
        self._waiting: list[Sessions] = []
        self._waiting_days: list[int] = []

    def learn(self, sessions: Sessions, day: int) -> None:
        self._waiting.append(sessions)
        self._waiting_days.append(day)

    def bias(self, num_items: int) -> np.ndarray:
        return np.zeros(num_items)

    def state(self) -> Mapping[str, np.ndarray]:
        self._take_in()
        return {
            "items": self._items,
            "places": self._places,
            "offsets": self._offsets,
            "days": self._days,
            "num_sessions": np.array([self._num_sessions]),
            "sessions_of_item": self._sessions_V,
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._items, self._places = state["items"], state["places"]
        self._offsets, self._days = state["offsets"], state["days"]
        self._num_sessions, self._sessions_V = int(state["num_sessions"][0]), state["sessions_of_item"]
        self._waiting, self._waiting_days = [], []
        self.__dict__.pop("_index", None)

    def scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._take_in()
        starts, ends, _ = self._index
        lengths_N = np.zeros(len(sessions.items), dtype=np.int64)
        is_known_N = sessions.items < len(starts)
        known = sessions.items[is_known_N]
        lengths_N[is_known_N] = ends[known] - starts[known]
        work_P = np.add.reduceat(np.append(lengths_N, 0), sessions.offsets[:-1]) * (np.diff(sessions.offsets) > 0)
        part_P = work_P.cumsum() // PLACES_AT_A_TIME
        bounds = [0, *(np.flatnonzero(np.diff(part_P)) + 1).tolist(), len(sessions)]
        parts = [self._scores(sessions.some(a, b)) for a, b in zip(bounds, bounds[1:], strict=False)]
        items, values, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        return items, values, offsets_of(lengths)

    def _take_in(self) -> None:
        """Add the sessions that wait, and let go of those that no sample can have any more."""
        if not self._waiting:
            return
        parts = [_distinct(sessions) for sessions in self._waiting]
        items, places, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        num_of_day = [len(sessions) for sessions in self._waiting]
        self._num_sessions += sum(num_of_day)
        of_items = np.bincount(items)
        size = max(len(of_items), len(self._sessions_V))
        self._sessions_V = np.pad(self._sessions_V, (0, size - len(self._sessions_V)))
        self._sessions_V[: len(of_items)] += of_items
        items, places = np.append(self._items, items), np.append(self._places, places)
        lengths = np.append(np.diff(self._offsets), lengths)
        days = np.append(self._days, np.repeat(self._waiting_days, num_of_day))

        session_N = np.repeat(np.arange(len(lengths)), lengths)
        order_N = np.argsort(items, kind="stable")
        ends = np.searchsorted(items[order_N], items[order_N], side="right")
        is_late = ends - np.arange(len(order_N)) <= self.definition.sample_size
        is_kept = np.zeros(len(lengths), dtype=bool)
        is_kept[session_N[order_N[is_late]]] = True
        of_kept_N = is_kept[session_N]
        self._items, self._places = items[of_kept_N].astype(np.int32), places[of_kept_N].astype(np.int32)
        self._offsets, self._days = offsets_of(lengths[is_kept]), days[is_kept]
        self._waiting, self._waiting_days = [], []
        self.__dict__.pop("_index", None)

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the latest sessions of each item begin and end, (V,) each, in the list of sessions by item."""
        session_N = np.repeat(np.arange(len(self._days)), np.diff(self._offsets))
        ends = np.bincount(self._items, minlength=len(self._sessions_V)).cumsum()
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])[: len(ends)]
        starts = np.maximum(starts, ends - self.definition.sample_size)
        return starts, ends, session_N[np.argsort(self._items, kind="stable")]

    def _scores(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give items, values, and how many there are of each session."""
        row_N, item_N, from_end_N, weight_N = self._weighed(sessions)
        row_K, neighbour_K, similarity_K, from_end_K = self._neighbours(row_N, item_N, from_end_N, weight_N)
        similarity_K = similarity_K * self.definition.match_weight(from_end_K)
        lengths_K = np.diff(self._offsets)[neighbour_K]
        places_X = ragged_places(self._offsets[neighbour_K], lengths_K)
        row_X, item_X = np.repeat(row_K, lengths_K), self._items[places_X].astype(np.int64)
        value_X = np.repeat(similarity_K, lengths_K)
        key_X = row_X * len(self._sessions_V) + item_X
        if self.definition.distance_weight and len(key_X):
            key_N = row_N * len(self._sessions_V) + item_N
            found_X = key_N[np.minimum(np.searchsorted(key_N, key_X), len(key_N) - 1)] == key_X
            place_X = self._places[places_X]
            last_K = np.maximum.reduceat(np.where(found_X, place_X, -1), offsets_of(lengths_K)[:-1])
            value_X = value_X * self.definition.distance_weight(np.abs(place_X - np.repeat(last_K, lengths_K)))
        if self.definition.idf:
            idf_V = np.log(self._num_sessions / np.maximum(self._sessions_V, 1))
            value_X = value_X * (1 + self.definition.idf * idf_V[item_X])
        key_Y, value_Y = summed_by_key(key_X, value_X)
        row_Y = key_Y // max(len(self._sessions_V), 1)
        return key_Y - row_Y * len(self._sessions_V), value_Y, np.bincount(row_Y, minlength=len(sessions))

    def _weighed(self, sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Give the known distinct items of each session, by item: session, item, items behind it, weight."""
        place_N, row_N = sessions.last_occurrences()
        is_known_N = sessions.items[place_N] < len(self._sessions_V)
        place_N, row_N = place_N[is_known_N], row_N[is_known_N]
        from_end_N = sessions.from_end[place_N]
        weight_N = self.definition.position_weight(from_end_N, np.diff(sessions.offsets)[row_N])
        return row_N, sessions.items[place_N], from_end_N, weight_N

    def _neighbours(
        self, row_N: np.ndarray, item_N: np.ndarray, from_end_N: np.ndarray, weight_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Give the neighbours: current session, earlier one, similarity, and items behind the latest shared one."""
        starts, ends, sessions = self._index
        lengths_N = ends[item_N] - starts[item_N]
        place_N = np.arange(len(item_N))
        by_recency_N = np.lexsort((from_end_N, row_N))
        number_N = np.empty_like(place_N)
        number_N[by_recency_N] = place_N
        # One number says which pair shares which item, so that a sort of numbers alone puts all in order.
        pair_C = np.repeat(row_N, lengths_N) * len(self._days) + sessions[ragged_places(starts[item_N], lengths_N)]
        bits = int(max(len(item_N), 2) - 1).bit_length()
        assert len(row_N) == 0 or (int(row_N[-1]) + 1) * len(self._days) < 2 ** (63 - bits)
        shared = np.sort((pair_C << bits) + np.repeat(number_N, lengths_N))
        if not len(shared):
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing, np.empty(0), nothing
        item_of = by_recency_N[shared & (2**bits - 1)]
        pair_C = shared >> bits
        first_C = np.flatnonzero(np.append(True, pair_C[1:] != pair_C[:-1]))
        similarity_C = np.add.reduceat(weight_N[item_of], first_C)
        pair_C, from_end_C = pair_C[first_C], from_end_N[item_of[first_C]]
        row_C = pair_C // len(self._days)
        neighbour_C = pair_C - row_C * len(self._days)
        of_row = np.searchsorted(row_C, row_C, side="right") - np.arange(len(row_C))
        is_sampled = of_row <= self.definition.sample_size
        row_C, neighbour_C, from_end_C = row_C[is_sampled], neighbour_C[is_sampled], from_end_C[is_sampled]
        similarity_C = similarity_C[is_sampled]
        if self.definition.is_cosine:
            similarity_C = similarity_C / np.sqrt(np.diff(self._offsets)[neighbour_C])
        if self.definition.age_weight:
            similarity_C = similarity_C * self.definition.age_weight(self._days[-1] - self._days[neighbour_C])
        is_near = most_similar(row_C, similarity_C, self.definition.neighbours)
        return row_C[is_near], neighbour_C[is_near], similarity_C[is_near], from_end_C[is_near]


def most_similar(row_C: np.ndarray, similarity_C: np.ndarray, number: int) -> np.ndarray:
    """Mark the `number` most similar of each row, of equal ones the last; rows are ascending."""
    starts = np.flatnonzero(np.append(True, row_C[1:] != row_C[:-1]))[: len(row_C)]
    lengths = np.diff(np.append(starts, len(row_C)))
    threshold = np.full(len(starts), -np.inf)
    for place in np.flatnonzero(lengths > number):
        start, length = starts[place], lengths[place]
        threshold[place] = np.partition(similarity_C[start : start + length], length - number)[length - number]
    threshold_C = np.repeat(threshold, lengths)
    is_above, is_tied = similarity_C > threshold_C, similarity_C == threshold_C
    num_above = np.add.reduceat(is_above, starts, dtype=np.int64) if len(starts) else np.empty(0, dtype=np.int64)
    # Counted from the end of the row, so that the latest of the tied ones come first.
    num_tied = np.cumsum(is_tied[::-1])[::-1]
    behind = np.append(num_tied, 0)[starts + lengths]
    return is_above | (is_tied & (num_tied - np.repeat(behind, lengths) <= number - np.repeat(num_above, lengths)))


def _distinct(sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the distinct items of sessions, their last places in the session, and how many a session has."""
    place_N, row_N = sessions.last_occurrences()
    return sessions.items[place_N], place_N - sessions.offsets[row_N], np.bincount(row_N, minlength=len(sessions))
