"""The order of rows and their shares: pure functions of seed, day, epoch and of rank, world size."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import numpy as np
import pytest

from transformers4recsys.data.readers.protocol import batch_bounds, dealt_by_length, row_order

DAY = datetime(2019, 10, 1)
SIZES = list(product(range(70), [1, 2, 3, 8], [1, 2, 3, 5, 8]))


def order(num_rows: int = 50, *, shuffle: bool = True, seed: int = 1, day: datetime = DAY, epoch: int = 0) -> list[int]:
    return row_order(num_rows, shuffle=shuffle, seed=seed, day=day, epoch=epoch).tolist()


def test_without_shuffle_rows_come_as_the_file_has_them():
    assert order(4, shuffle=False) == [0, 1, 2, 3] == order(4, shuffle=False, seed=2, epoch=3)


def test_shuffled_order_is_a_permutation_and_the_same_each_time():
    assert sorted(order()) == list(range(50)) != order()
    assert order() == order()


@pytest.mark.parametrize("buffer_rows", [1, 7, 50, 90])
def test_a_buffer_is_shuffled_by_itself(buffer_rows: int):
    rows = row_order(50, shuffle=True, seed=1, day=DAY, epoch=1, buffer_rows=buffer_rows).tolist()
    for first in range(0, 50, buffer_rows):
        together = range(first, min(first + buffer_rows, 50))
        assert sorted(rows[first : first + buffer_rows]) == list(together)
        assert len(together) < 7 or rows[first : first + buffer_rows] != list(together)


def test_order_changes_with_seed_day_hour_and_epoch():
    orders = [
        order(),
        order(seed=2),
        order(epoch=1),
        order(day=datetime(2019, 10, 2)),
        order(day=datetime(2019, 10, 1, 5)),
    ]
    assert len({tuple(each) for each in orders}) == 5


def test_one_process_gets_plain_batches():
    assert batch_bounds(7, batch_size=3).tolist() == [[0, 3], [3, 6], [6, 7]]
    assert batch_bounds(7, batch_size=3, drop_last=True).tolist() == [[0, 3], [3, 6]]
    assert batch_bounds(0, batch_size=3).shape == (0, 2)


def test_left_over_rows_are_split_evenly():
    # 17 rows, global batches of 4 x 3: 12, then 5 left over as 1 + 2 + 2.
    shares = [batch_bounds(17, batch_size=4, rank=rank, world_size=3).tolist() for rank in range(3)]
    assert shares == [[[0, 4], [12, 13]], [[4, 8], [13, 15]], [[8, 12], [15, 17]]]


def test_fewer_left_over_rows_than_ranks_leave_some_ranks_a_batch_less():
    # 14 rows, global batches of 4 x 3: 12, then 2 left over for the last two ranks.
    shares = [batch_bounds(14, batch_size=4, rank=rank, world_size=3).tolist() for rank in range(3)]
    assert shares == [[[0, 4]], [[4, 8], [12, 13]], [[8, 12], [13, 14]]]
    dropped = [batch_bounds(14, batch_size=4, rank=rank, world_size=3, drop_last=True).tolist() for rank in range(3)]
    assert dropped == [[[0, 4]], [[4, 8]], [[8, 12]]]


def shares_of(num_rows: int, batch_size: int, world_size: int, *, drop_last: bool = False) -> list[np.ndarray]:
    ranks = range(world_size)
    sizes = {"batch_size": batch_size, "world_size": world_size}
    return [batch_bounds(num_rows, rank=rank, drop_last=drop_last, **sizes) for rank in ranks]


@pytest.mark.parametrize("drop_last", [False, True])
def test_every_row_once_over_all_ranks(drop_last: bool):
    for num_rows, batch_size, world_size in SIZES:
        shares = shares_of(num_rows, batch_size, world_size, drop_last=drop_last)
        rows = sorted(row for share in shares for start, stop in share for row in range(start, stop))
        global_size = batch_size * world_size
        assert rows == list(range(num_rows // global_size * global_size if drop_last else num_rows))


def test_ranks_have_batches_of_nearly_equal_size_and_the_last_rank_has_most():
    for num_rows, batch_size, world_size in SIZES:
        sizes = [np.diff(share)[:, 0] for share in shares_of(num_rows, batch_size, world_size)]
        assert all((1 <= each).all() and (each <= batch_size).all() for each in sizes)
        num_steps = len(sizes[-1])
        assert all(len(each) in (num_steps - 1, num_steps) for each in sizes)
        steps = np.stack([np.pad(each, (0, num_steps - len(each))) for each in sizes])
        assert (steps.max(axis=0, initial=0) - steps.min(axis=0, initial=batch_size) <= 1).all()


def test_with_fewer_rows_than_ranks_each_row_is_a_batch():
    for num_rows, batch_size, world_size in SIZES:
        if num_rows < world_size:
            shares = shares_of(num_rows, batch_size, world_size)
            assert sorted(len(share) for share in shares) == [0] * (world_size - num_rows) + [1] * num_rows


def test_ranks_together_take_the_steps_of_one_process():
    for num_rows, batch_size, world_size in SIZES:
        shares = shares_of(num_rows, batch_size, world_size)
        steps = [[share[step] for share in shares if step < len(share)] for step in range(len(shares[-1]))]
        together = [[min(start for start, _ in step), max(stop for _, stop in step)] for step in steps]
        assert together == batch_bounds(num_rows, batch_size=batch_size * world_size).tolist()


def test_rows_of_a_step_are_dealt_out_by_length():
    # Two steps of 2 x 2 rows, and a row that is left over.
    lengths = np.array([9, 2, 3, 8, 5, 4, 7, 6, 1])
    dealt = dealt_by_length(np.array([0, 1, 2, 3, 7, 6, 5, 4, 8]), lengths, batch_size=2, world_size=2)
    # By length 2, 3 | 8, 9 and 4, 5 | 6, 7: one rank gets the shorter and the longer of its pairs, each in its turn.
    assert dealt.tolist() == [1, 0, 2, 3, 4, 7, 5, 6, 8]


def test_no_rank_gets_more_events_of_all_steps():
    lengths = np.random.default_rng(1).geometric(0.2, 9_600)
    for batch_size, world_size in product([1, 2, 3, 8], [2, 4, 8]):
        sizes = {"batch_size": batch_size, "world_size": world_size}
        order = dealt_by_length(np.arange(len(lengths)), lengths, **sizes)
        of_ranks = lengths[order[: len(order) // (batch_size * world_size) * batch_size * world_size]]
        of_ranks = of_ranks.reshape(-1, world_size, batch_size).sum((0, 2))
        assert of_ranks.max() < 1.03 * of_ranks.mean(), sizes


def test_dealing_out_keeps_the_rows_of_each_step():
    rows = np.random.default_rng(1)
    for num_rows, batch_size, world_size in SIZES:
        before, lengths = rows.permutation(num_rows), rows.integers(2, 20, num_rows)
        after = dealt_by_length(before, lengths, batch_size=batch_size, world_size=world_size)
        size = batch_size * world_size
        for first in range(0, num_rows, size):
            assert sorted(after[first : first + size]) == sorted(before[first : first + size])
        assert all(after[num_rows // size * size :] == before[num_rows // size * size :])
