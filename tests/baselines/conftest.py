"""Days of sessions, read by a baseline as by its plain twin; session neighbours, session by session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import log, sqrt

import numpy as np
import pytest

from transformers4recsys.baselines import neighbours
from transformers4recsys.baselines.protocol import Baseline
from transformers4recsys.baselines.sessions import Sessions

NUM_ITEMS = 15
Days = Sequence[Sequence[Sequence[int]]]


def as_sessions(lists: Sequence[Sequence[int]]) -> Sessions:
    items = np.array([item for session in lists for item in session], dtype=np.int64)
    return Sessions(items, np.cumsum([0, *map(len, lists)]))


@pytest.fixture
def days() -> Days:
    """Four days of sessions of two to six items, repeats among them."""
    generator = np.random.default_rng(11)
    return [
        [generator.integers(1, NUM_ITEMS - 1, generator.integers(2, 7)).tolist() for _ in range(number)]
        for number in (9, 5, 14, 7)
    ]


@pytest.fixture
def queries() -> list[list[int]]:
    """Sessions to go on from: empty, of one item, with repeats, of an item never seen."""
    return [[], [3], [5, 5], [1, 2, 3, 4], [2, 9, 2, 7, 1, 9], [NUM_ITEMS - 1], [4, 13]]


@pytest.fixture
def learned() -> Callable[[Baseline, Days], Baseline]:
    """Let a baseline read days from number 7 on, each in two parts, and keep its state only between days."""

    def learn(make: Callable[[], Baseline], days: Days) -> Baseline:
        baseline = make()
        for number, sessions in enumerate(days, start=7):
            half = len(sessions) // 2
            for part in (sessions[:half], sessions[half:]):
                baseline.learn(as_sessions(part), number)
            state = {name: values.copy() for name, values in baseline.state().items()}
            baseline = make()
            baseline.restore(state)
        return baseline

    return learn


def dense_scores(baseline: Baseline, queries: Sequence[Sequence[int]]) -> np.ndarray:
    """Give bias and values of all items, (P, V)."""
    items, values, offsets = baseline.scores(as_sessions(queries))
    scores = np.tile(baseline.bias(NUM_ITEMS), (len(queries), 1))
    for row, (start, stop) in enumerate(zip(offsets, offsets[1:], strict=False)):
        assert np.all(np.diff(items[start:stop]) > 0), "items of a session are ascending"
        scores[row, items[start:stop]] += values[start:stop]
    return scores


@pytest.fixture
def scored() -> Callable[[Baseline, Sequence[Sequence[int]]], np.ndarray]:
    return dense_scores


def plain_scores(days, query, *, k, sample, weight, match, is_cosine=False, age=None, distance=None, idf=0.0):
    """Score all items for one session by a definition; `weight(from_end, length)`, `match(from_end)` and so on."""
    sessions = [(number, session) for number, day in enumerate(days) for session in day]
    place_of = {item: place for place, item in enumerate(query)}
    from_end = {item: len(query) - 1 - place for item, place in place_of.items()}
    latest = [each for each in sessions if set(each[1]) & set(query)][-sample:]
    found = []
    for order, (day, session) in enumerate(latest):
        shared = sorted(set(session) & set(query), key=from_end.__getitem__)
        similarity = sum(weight(from_end[item], len(query)) for item in shared)
        if is_cosine:
            similarity /= sqrt(len(set(session)))
        if age:
            similarity *= age(len(days) - 1 - day)
        found.append((similarity, order, session, shared))
    scores = [0.0] * NUM_ITEMS
    for similarity, _, session, shared in sorted(found, key=lambda each: each[:2], reverse=True)[:k]:
        last_place = {item: place for place, item in enumerate(session)}
        last_shared = max(last_place[item] for item in shared)
        for item, place in last_place.items():
            score = similarity * match(from_end[shared[0]])
            if distance:
                score *= distance(abs(place - last_shared))
            num_with_item = sum(item in each for _, each in sessions)
            scores[item] += score * (1 + idf * log(len(sessions) / num_with_item))
    return scores


@pytest.fixture
def check_neighbours(days, queries, learned, scored, monkeypatch):
    def compare(make, settings, **definition):
        expected = [plain_scores(days, query, **definition) for query in queries]
        # In parts of any size the scores are the same.
        for at_a_time in (neighbours.PLACES_AT_A_TIME, 20):
            monkeypatch.setattr(neighbours, "PLACES_AT_A_TIME", at_a_time)
            scores = scored(learned(partial(make, settings), days), queries)
            for row, plain in zip(scores.tolist(), expected, strict=True):
                assert row == pytest.approx(plain)
        assert np.count_nonzero(expected) > 20

    return compare
