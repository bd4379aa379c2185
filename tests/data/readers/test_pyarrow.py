"""The batches of the pyarrow reader against plain Python lists: same rows, same values, same order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from transformers4recsys.batch import Batch, with_past
from transformers4recsys.data.readers import pyarrow as pyarrow_reader
from transformers4recsys.data.readers.library import Reading
from transformers4recsys.data.readers.protocol import row_order
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.data.readers.streaming import Streamed
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

DAY = datetime(2019, 10, 1)
ENTRIES = {
    "item": {"dtype": "categorical", "cardinality": 10_000, "is_label": True},
    "price": {"dtype": "float"},
    "time": {"dtype": "timestamp", "log_with_preds_as_metadata": True},
    "session": {"dtype": "long", "is_control": True},
    "bef_item": {"dtype": "categorical", "cardinality": 10_000},
    "bef_price": {"dtype": "float"},
    "_neg_item": {"dtype": "categorical", "cardinality": 10_000},
}
SCHEMA = Schema.from_entries(ENTRIES, past_prefix="bef_")

Sessions = dict[str, list]


def random_sessions(num_rows: int, seed: int = 0) -> Sessions:
    """Sessions of 0 to 9 items, pasts of 0 to 6, one to three negatives an item."""
    draw = np.random.default_rng(seed)
    lengths, past_lengths = draw.integers(0, 10, num_rows), draw.integers(0, 7, num_rows)
    num_negatives = draw.integers(1, 4, num_rows)

    def ids(sizes: np.ndarray) -> list[list[int]]:
        return [draw.integers(1, 10_000, size).tolist() for size in sizes]

    def numbers(sizes: np.ndarray) -> list[list[float]]:
        return [draw.random(size, np.float32).tolist() for size in sizes]

    return {
        "item": ids(lengths),
        "price": numbers(lengths),
        "time": ids(lengths),
        "session": list(range(num_rows)),
        "bef_item": ids(past_lengths),
        "bef_price": numbers(past_lengths),
        "_neg_item": ids(lengths * num_negatives),
    }


def plain_twin(sessions: Sessions, *, session_length_max: int, past_length_max: int) -> list[Sessions]:
    """What the reader must hold, row by row."""
    rows = []
    for row, items in enumerate(sessions["item"]):
        if len(items) < 2:
            continue
        kept = min(len(items), session_length_max)
        negatives = sessions["_neg_item"][row]
        rows.append(
            {name: sessions[name][row][-kept:] for name in ("item", "price", "time")}
            | {name: sessions[name][row][-past_length_max:] for name in ("bef_item", "bef_price")}
            | {
                "session": [sessions["session"][row]] * kept,
                "_neg_item": negatives[-kept * (len(negatives) // len(items)) :],
            }
        )
    return rows


def as_lists(batch: Batch) -> list[Sessions]:
    rows: list[Sessions] = [{} for _ in range(len(batch))]
    for name, column in batch.columns.items():
        assert column.max_length == column.lengths.max() and column.offsets[0] == 0
        for row, (start, stop) in enumerate(zip(column.offsets[:-1], column.offsets[1:], strict=True)):
            rows[row][name] = column.values[start:stop].tolist()
    return rows


def read_all(reader: DayReader, epoch: int = 0) -> list[Sessions]:
    return [row for batch in reader.batches(epoch) for row in as_lists(batch)]


@pytest.fixture
def opened(write: Callable[..., str]) -> Callable[..., DayReader]:
    def open_sessions(sessions: Sessions, *, row_group_size: int | None = None, **settings: Any) -> DayReader:
        path = write(row_group_size=row_group_size, **sessions)
        defaults: dict[str, Any] = {
            "schema": SCHEMA,
            "batch_size": 4,
            "session_length_max": 5,
            "past_length_max": 3,
            "day": DAY,
        }
        return DayReader([path], **defaults | settings)

    return open_sessions


@pytest.mark.parametrize("session_length_max", [2, 5, 20])
@pytest.mark.parametrize("row_group_size", [None, 7])
@pytest.mark.parametrize("workers_count", [0, 3])
def test_rows_equal_the_plain_twin(opened, session_length_max: int, row_group_size: int | None, workers_count: int):
    sessions = random_sessions(60)
    lengths = {"session_length_max": session_length_max, "past_length_max": 3}
    reader = opened(sessions, row_group_size=row_group_size, reading=Reading(workers_count=workers_count), **lengths)
    expected = plain_twin(sessions, **lengths)
    assert read_all(reader) == expected
    assert reader.num_rows == len(expected) < 60 and len(reader) == -(-len(expected) // 4)


def test_a_small_session_by_hand(opened):
    sessions = {
        "item": [[1, 2, 3], [4], [5, 6]],
        "price": [[0.1, 0.2, 0.3], [0.4], [0.5, 0.6]],
        "time": [[datetime(1970, 1, 1, 0, 0, second) for second in (1, 2, 3)], [], []],
        "session": [10, 11, 12],
        "bef_item": [[], [7], [7, 8]],
        "bef_price": [[], [0.7], [0.7, 0.8]],
        "_neg_item": [[11, 12, 21, 22, 31, 32], [41], [5, 6]],
    }
    sessions["time"][1:] = [[datetime(1970, 1, 1)], [datetime(1970, 1, 1)] * 2]
    (batch,) = opened(sessions, session_length_max=2, past_length_max=1).batches(0)
    assert as_lists(batch) == [
        {
            "item": [2, 3],
            "price": pytest.approx([0.2, 0.3]),
            "time": [2_000_000, 3_000_000],
            "session": [10, 10],
            "bef_item": [],
            "bef_price": [],
            "_neg_item": [21, 22, 31, 32],
        },
        {
            "item": [5, 6],
            "price": pytest.approx([0.5, 0.6]),
            "time": [0, 0],
            "session": [12, 12],
            "bef_item": [8],
            "bef_price": pytest.approx([0.8]),
            "_neg_item": [5, 6],
        },
    ]


def test_types_of_the_columns(opened):
    batch = next(opened(random_sessions(9)).batches(0))
    types = {name: column.values.dtype for name, column in batch.columns.items()}
    assert types.pop("price") == types.pop("bef_price") == torch.float32
    assert set(types.values()) == {torch.int64}
    assert batch.columns["item"].offsets.dtype == torch.int64


def test_large_ids_and_times_are_exact(write):
    big = 2**53 + 1
    schema = Schema.from_entries(
        {"item": ENTRIES["item"], "time": {"dtype": "timestamp"}, "user": {"dtype": "long", "is_control": True}}
    )
    times = pa.array([[big, big + 1]], pa.list_(pa.timestamp("us", "UTC")))
    path = write(item=[[1, 2]], time=times, user=pa.array([big], pa.uint64()))
    (batch,) = DayReader([path], schema=schema, batch_size=1, session_length_max=5, day=DAY).batches(0)
    assert batch.columns["time"].values.tolist() == [big, big + 1]
    assert batch.columns["user"].values.tolist() == [big, big]


@pytest.mark.parametrize("rows_at_a_time", [1, 8, 12, 10**6])
def test_batches_do_not_depend_on_how_many_are_gathered_at_once(opened, monkeypatch, rows_at_a_time: int):
    monkeypatch.setattr(pyarrow_reader, "ROWS_AT_A_TIME", rows_at_a_time)
    sessions = random_sessions(60)
    reader = opened(sessions)
    batches = list(reader.batches(0))
    assert [len(batch) for batch in batches[:-1]] == [4] * (len(reader) - 1)
    rows = [row for batch in batches for row in as_lists(batch)]
    assert rows == plain_twin(sessions, session_length_max=5, past_length_max=3)


def test_shuffled_rows_follow_the_order_of_seed_day_and_epoch(opened):
    sessions = random_sessions(60)
    rows = plain_twin(sessions, session_length_max=5, past_length_max=3)
    reader = opened(sessions, shuffle=True, seed=3)
    for epoch in (0, 1):
        order = row_order(len(rows), shuffle=True, seed=3, day=DAY, epoch=epoch)
        assert read_all(reader, epoch) == [rows[row] for row in order]
    assert read_all(reader, 0) != read_all(reader, 1)


@pytest.mark.parametrize("workers_count", [0, 2])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_rows_of_each_step_of_one_process_and_its_events(opened, world_size: int, workers_count: int):
    sessions = random_sessions(85, seed=1)
    settings = {"shuffle": True, "row_group_size": 9}
    alone = opened(sessions, batch_size=4 * world_size, **settings)
    ranks = [
        opened(sessions, rank=rank, world_size=world_size, reading=Reading(workers_count=workers_count), **settings)
        for rank in range(world_size)
    ]
    assert alone.num_rows % (4 * world_size) >= world_size
    assert {len(rank) for rank in ranks} == {len(alone)}
    for step, *shares in zip(alone.batches(2), *(rank.batches(2) for rank in ranks), strict=True):
        of_shares, of_step = (sorted(map(str, rows)) for rows in (chain(*map(as_lists, shares)), as_lists(step)))
        assert of_shares == of_step
        sizes = [len(share.columns["item"].values) for share in shares]
        # Of four rows each, of two to five items: shares of a whole step differ by less than one row.
        assert len(step) < 4 * world_size or max(sizes) - min(sizes) <= 3


def test_without_shuffling_ranks_keep_the_order_of_the_file(opened):
    sessions = random_sessions(40, seed=1)
    alone = opened(sessions, batch_size=8, drop_last=True)
    ranks = [opened(sessions, rank=rank, world_size=2, drop_last=True) for rank in range(2)]
    for step, *shares in zip(alone.batches(0), *(rank.batches(0) for rank in ranks), strict=True):
        assert [row for share in shares for row in as_lists(share)] == as_lists(step)


def test_drop_last_leaves_the_partial_batch_out(opened):
    sessions = {name: rows * 3 for name, rows in random_sessions(1, seed=2).items()}
    assert len(sessions["item"][0]) >= 2
    assert [len(batch) for batch in opened(sessions, batch_size=2).batches(0)] == [2, 1]
    assert [len(batch) for batch in opened(sessions, batch_size=2, drop_last=True).batches(0)] == [2]


def test_files_come_one_behind_the_other(write):
    first, second = random_sessions(10, seed=4), random_sessions(10, seed=5)
    paths = [write("part-0.parquet", **first), write("part-1.parquet", **second)]
    reader = DayReader(paths, schema=SCHEMA, batch_size=6, day=DAY, session_length_max=5, past_length_max=3)
    expected = [plain_twin(sessions, session_length_max=5, past_length_max=3) for sessions in (first, second)]
    assert read_all(reader) == expected[0] + expected[1]


@pytest.mark.parametrize("sessions", [random_sessions(0), {n: rows * 4 for n, rows in random_sessions(1).items()}])
def test_files_without_two_items_in_any_session_give_no_batch(opened, sessions: Sessions):
    if sessions["item"]:
        sessions = sessions | {"item": [[1]] * 4, "price": [[1.0]] * 4, "time": [[1]] * 4, "_neg_item": [[1]] * 4}
    else:
        sessions = {name: pa.array([[1]], pa.list_(pa.int64())).slice(0, 0) for name in sessions}
    reader = opened(sessions)
    assert (len(reader), reader.num_rows, list(reader.batches(0))) == (0, 0, [])


def test_batches_do_not_share_memory(opened):
    sessions = random_sessions(60)
    first, *others = list(opened(sessions).batches(0))
    before = [as_lists(batch) for batch in others]
    for column in first.columns.values():
        column.values.zero_()
    assert [as_lists(batch) for batch in others] == before


def test_the_past_of_a_batch_can_be_put_in_front(opened):
    sessions = random_sessions(30)
    expected = [row["bef_item"] + row["item"] for row in plain_twin(sessions, session_length_max=5, past_length_max=3)]
    together = [row["item"] for b in opened(sessions).batches(0) for row in as_lists(with_past(b, SCHEMA))]
    assert together == expected


def expected_of(*files: Sessions) -> list[Sessions]:
    return [row for rows in files for row in plain_twin(rows, session_length_max=5, past_length_max=3)]


@pytest.fixture
def three_files(write: Callable[..., str]) -> tuple[list[str], list[Sessions]]:
    """155 ragged rows in 19 row groups of three files; a row takes 300 bytes at most, on average."""
    files = [random_sessions(num_rows, seed=num_rows) for num_rows in (70, 5, 80)]
    paths = [write(f"{number}.parquet", row_group_size=9, **rows) for number, rows in enumerate(files)]
    return paths, files


def open_paths(paths: list[str], memory_bytes: int, **settings: Any) -> DayReader:
    defaults: dict[str, Any] = {"batch_size": 7, "session_length_max": 5, "past_length_max": 3, "day": DAY}
    return DayReader(paths, schema=SCHEMA, memory_bytes=memory_bytes, **defaults | settings)


# Blocks of one slice, of a row group or less, of several row groups.
MEMORIES = [20, 500, 20_000, 60_000]


@pytest.mark.parametrize("workers_count", [0, 4])
@pytest.mark.parametrize("memory_bytes", MEMORIES)
@pytest.mark.parametrize("drop_last", [False, True])
def test_streamed_rows_come_as_the_held_ones_do(three_files, memory_bytes: int, workers_count: int, drop_last: bool):
    paths, files = three_files
    held = open_paths(paths, 10**9, drop_last=drop_last)
    streamed = open_paths(paths, memory_bytes, reading=Reading(workers_count=workers_count), drop_last=drop_last)
    assert (streamed.num_rows, len(streamed)) == (held.num_rows, len(held))
    batches = [as_lists(batch) for batch in streamed.batches(0)]
    assert batches == [as_lists(batch) for batch in held.batches(0)]
    expected = expected_of(*files)
    assert [row for batch in batches for row in batch] == expected[: 7 * len(held) if drop_last else None]


@pytest.mark.parametrize("memory_bytes", MEMORIES)
def test_a_streamed_epoch_has_every_row_once_in_an_order_of_its_own(three_files, memory_bytes: int):
    paths, files = three_files
    reader = open_paths(paths, memory_bytes, shuffle=True, seed=3)
    epochs = [[row["session"][0] for row in read_all(reader, epoch)] for epoch in (0, 1, 0)]
    assert sorted(epochs[0]) == sorted(row["session"][0] for row in expected_of(*files)) == sorted(epochs[1])
    assert epochs[0] == epochs[2] != epochs[1]
    other_seed = open_paths(paths, memory_bytes, shuffle=True, seed=4)
    other_day = open_paths(paths, memory_bytes, shuffle=True, seed=3, day=datetime(2019, 10, 2))
    assert epochs[0] not in [[row["session"][0] for row in read_all(other)] for other in (other_seed, other_day)]


def test_streamed_rows_keep_all_their_values(three_files):
    paths, files = three_files
    rows = read_all(open_paths(paths, 20_000, shuffle=True))
    expected = expected_of(*files)
    assert rows != expected
    assert sorted(rows, key=repr) == sorted(expected, key=repr)


def test_a_block_is_shuffled_inside_and_mixes_row_groups(write):
    # 8 row groups of 10 sessions of two items: 24 bytes a session, blocks of two row groups.
    path = write(item=[[row, row] for row in range(1, 81)], row_group_size=10)
    schema = Schema.from_entries({"item": ENTRIES["item"]})
    settings = {"schema": schema, "batch_size": 20, "session_length_max": 5, "day": DAY, "shuffle": True}
    blocks = DayReader([path], memory_bytes=5 * 24 * 20, **settings).batches(0)
    groups_of_blocks, orders = [], set()
    for block in blocks:
        items = block.columns["item"].values[::2].tolist()
        groups = {(item - 1) // 10 for item in items}
        assert sorted(items) == [10 * group + row for group in sorted(groups) for row in range(1, 11)] != items
        groups_of_blocks.append(groups)
        orders.add(tuple((item - 1) % 10 for item in items))
    assert [len(groups) for groups in groups_of_blocks] == [2] * 4 and len(orders) == 4
    assert groups_of_blocks != [{0, 1}, {2, 3}, {4, 5}, {6, 7}] and set().union(*groups_of_blocks) == set(range(8))


def test_a_buffer_smaller_than_a_block_shuffles_so_many_rows_at_a_time(write):
    # The block holds both row groups of 20 sessions, in either order.
    path = write(item=[[row, row] for row in range(40)], row_group_size=20)
    schema = Schema.from_entries({"item": ENTRIES["item"]})
    settings = {"schema": schema, "batch_size": 5, "session_length_max": 5, "day": DAY, "shuffle": True}
    reader = DayReader([path], memory_bytes=5 * 24 * 20, buffer_rows=5, **settings)
    batches = [batch.columns["item"].values[::2].tolist() for batch in reader.batches(0)]
    runs = [list(range(first, first + 5)) for first in range(0, 40, 5)]
    assert sorted(sorted(batch) for batch in batches) == runs
    assert sum(batch not in runs for batch in batches) >= 6


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("num_batches", [1, 3])
def test_the_first_batches_of_a_part_are_those_of_the_whole(three_files, num_batches: int, world_size: int):
    paths, _ = three_files
    for rank in range(world_size):
        whole = open_paths(paths, 10**9, rank=rank, world_size=world_size)
        part = open_paths(
            paths, 10**9, rank=rank, world_size=world_size, max_sessions=(num_batches + 1) * 7 * world_size
        )
        assert len(whole) > len(part) >= num_batches
        for first, same in islice(zip(part.batches(0), whole.batches(0), strict=False), num_batches):
            assert as_lists(first) == as_lists(same)
    assert read_all(open_paths(paths, 10**9, max_sessions=10**6)) == read_all(open_paths(paths, 10**9))


def test_a_part_that_does_not_fit_into_memory_is_streamed(three_files):
    paths, files = three_files
    assert read_all(open_paths(paths, 20_000, max_sessions=10**6)) == expected_of(*files)


def test_footers_that_are_known_are_not_read_again(three_files, opened_files):
    paths, files = three_files
    footers = {path: pq.ParquetFile(path).metadata for path in paths}
    opened_files.clear()
    assert read_all(open_paths(paths, 10**9, footers=footers)) == expected_of(*files)
    assert [opened_files[path] for path in paths] == [8, 1, 9]


@pytest.mark.parametrize("workers_count", [0, 4])
@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("memory_bytes", MEMORIES)
def test_ranks_stream_each_row_once_in_the_steps_of_one_process(
    three_files, memory_bytes: int, world_size: int, workers_count: int
):
    paths, _ = three_files
    alone = open_paths(paths, memory_bytes, batch_size=7 * world_size, shuffle=True)
    settings = {"world_size": world_size, "reading": Reading(workers_count=workers_count), "shuffle": True}
    ranks = [open_paths(paths, memory_bytes, rank=rank, **settings) for rank in range(world_size)]
    assert alone.num_rows % (7 * world_size) >= world_size
    assert {len(rank) for rank in ranks} == {len(alone)}
    # Rows that are held are dealt out by length.
    key = None if isinstance(alone.source, Streamed) else str
    for step, *shares in zip(alone.batches(2), *(rank.batches(2) for rank in ranks), strict=True):
        of_shares, of_step = list(chain(*map(as_lists, shares))), as_lists(step)
        assert of_shares == of_step if key is None else sorted(of_shares, key=key) == sorted(of_step, key=key)


def test_streaming_may_stop_in_the_middle_of_an_epoch(three_files):
    paths, _ = three_files
    num_threads = threading.active_count()
    batches = open_paths(paths, 20_000, reading=Reading(workers_count=4)).batches(0)
    next(batches)
    assert threading.active_count() > num_threads
    batches.close()
    assert threading.active_count() == num_threads


@pytest.mark.parametrize("workers_count", [0, 2])
def test_a_file_cut_short_while_it_is_streamed_is_named(three_files, workers_count: int):
    paths, _ = three_files
    reader = open_paths(paths, 500, reading=Reading(workers_count=workers_count))
    Path(paths[1]).write_bytes(Path(paths[1]).read_bytes()[:100])
    with pytest.raises(InputError, match="1.parquet cannot be read as parquet"):
        read_all(reader)


def test_a_file_that_vanished_is_named(tmp_path):
    with pytest.raises(InputError, match="gone.parquet cannot be opened"):
        DayReader([str(tmp_path / "gone.parquet")], schema=SCHEMA, batch_size=1, session_length_max=5, day=DAY)
