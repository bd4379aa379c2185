"""Blocks within a size, and reading ahead within a size, in order, in threads or without."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from transformers4recsys.data.readers.streaming import block_lengths, mapped, read_ahead


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], []), ([3, 3, 3, 3], [3, 1]), ([10, 1, 10], [1, 1, 1]), ([20, 4, 5, 6], [1, 2, 1]), ([0, 0, 9, 0], [4])],
)
def test_block_lengths(sizes: list[int], expected: list[int]):
    assert block_lengths(sizes, 9) == expected


@pytest.mark.parametrize("num_threads", [0, 1, 4])
def test_items_come_in_the_order_of_the_steps(num_threads: int):
    def series(number: int, length: int) -> Iterator[tuple[int, int]]:
        for item in range(length):
            time.sleep(0.001 * (5 - number))
            yield number, item

    def steps() -> Iterator[tuple[Iterator[tuple[int, int]], int]]:
        for number, length in enumerate([1, 4, 1, 3]):
            items = series(number, length)
            yield from [(items, 2)] * length

    came = list(read_ahead(steps(), num_threads=num_threads, max_bytes=12))
    assert came == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 0), (3, 1), (3, 2)]


@pytest.mark.parametrize(("max_bytes", "most_ahead"), [(1, 1), (6, 2), (30, 10)])
def test_no_more_is_read_ahead_than_asked_for(max_bytes: int, most_ahead: int):
    started = []

    def item(number: int) -> Iterator[int]:
        started.append(number)
        yield number

    for number in read_ahead(((item(n), 3) for n in range(20)), num_threads=4, max_bytes=max_bytes):
        time.sleep(0.002)
        # The one that came is not counted, and nothing is started while it is in use but what waits.
        assert len(started) - (number + 1) <= most_ahead


@pytest.mark.parametrize("num_threads", [0, 2])
def test_an_error_comes_at_its_place_and_ends_the_threads(num_threads: int):
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second one")

    bad = items()
    num_before = threading.active_count()
    ahead = read_ahead([(bad, 1), (bad, 1), (iter([3]), 1)], num_threads=num_threads, max_bytes=9)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="the second one"):
        next(ahead)
    assert threading.active_count() == num_before


@pytest.mark.parametrize("num_threads", [0, 3])
def test_mapped(num_threads: int):
    assert mapped(str, range(5), num_threads) == ["0", "1", "2", "3", "4"]
