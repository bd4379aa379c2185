"""The order of rows and their shares: pure functions of seed, day, epoch and of rank, world size."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import numpy as np
import pytest

from transformers4recsys.data.engine import batch_bounds, row_order

DAY = datetime(2019, 10, 1)
SIZES = list(product([0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 23, 24, 25, 64], [1, 2, 3, 8], [1, 2, 3, 5, 8]))


def order(num_rows: int = 50, *, shuffle: bool = True, seed: int = 1, day: datetime = DAY, epoch: int = 0) -> list[int]:
    return row_order(num_rows, shuffle=shuffle, seed=seed, day=day, epoch=epoch).tolist()


def test_without_shuffle_rows_come_as_the_file_has_them():
    assert order(4, shuffle=False) == [0, 1, 2, 3] == order(4, shuffle=False, seed=2, epoch=3)


def test_shuffled_order_is_a_permutation_and_the_same_each_time():
    assert sorted(order()) == list(range(50)) != order()
    assert order() == order()


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


def test_fewer_left_over_rows_than_ranks_go_into_the_last_full_batch():
    shares = [batch_bounds(14, batch_size=4, rank=rank, world_size=3).tolist() for rank in range(3)]
    assert shares == [[[0, 4]], [[4, 9]], [[9, 14]]]
    dropped = [batch_bounds(14, batch_size=4, rank=rank, world_size=3, drop_last=True).tolist() for rank in range(3)]
    assert dropped == [[[0, 4]], [[4, 8]], [[8, 12]]]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("num_rows", "batch_size", "world_size"), SIZES)
def test_every_row_once_over_all_ranks(num_rows: int, batch_size: int, world_size: int, drop_last: bool):
    shares = [
        batch_bounds(num_rows, batch_size=batch_size, rank=rank, world_size=world_size, drop_last=drop_last)
        for rank in range(world_size)
    ]
    rows = sorted(row for share in shares for start, stop in share for row in range(start, stop))
    global_size = batch_size * world_size
    assert rows == list(range(num_rows // global_size * global_size if drop_last else num_rows))

    sizes = [np.diff(share)[:, 0] for share in shares]
    assert all((1 <= each).all() and (each <= batch_size + 1).all() for each in sizes)
    if num_rows >= world_size or drop_last:
        assert len({len(share) for share in shares}) == 1
        for step in range(len(sizes[0])):
            at_this_step = [int(each[step]) for each in sizes]
            assert max(at_this_step) - min(at_this_step) <= 1


@pytest.mark.parametrize(("num_rows", "batch_size", "world_size"), SIZES)
def test_ranks_together_take_the_steps_of_one_process(num_rows: int, batch_size: int, world_size: int):
    alone = batch_bounds(num_rows, batch_size=batch_size * world_size)
    shares = [batch_bounds(num_rows, batch_size=batch_size, rank=r, world_size=world_size) for r in range(world_size)]
    if num_rows < world_size or 0 < num_rows % (batch_size * world_size) < world_size:
        return  # the documented exceptions: rows folded into the batch before, or ranks without any
    together = [[min(step[:, 0]), max(step[:, 1])] for step in np.stack(shares, axis=1)]
    assert together == alone.tolist()
