"""Days of sessions, read by a baseline as by its plain twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

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
