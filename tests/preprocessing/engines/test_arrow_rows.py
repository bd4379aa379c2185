import concurrent.futures
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.preprocessing.engines import arrow_rows
from transformers4recsys.preprocessing.steps.sessions import first_row

SPLITS = ("train", "valid", "test")


def write(folder, tables, days, pool):
    files = {(day, split): folder / f"{day}-{split}.parquet" for day in days for split in SPLITS}
    arrow_rows.write_days(iter(tables), files, {"_row": "row", "item": "items"}, pool)
    return files


@pytest.fixture(params=[1, 3])
def pool(request):
    with ThreadPoolExecutor(request.param) as pool:
        yield pool


def test_a_day_is_written_in_order_whole_and_in_halves(tmp_path, pool):
    table = pa.table({"_row": [1, 2, 3], "_half": ["valid", "valid", "test"], "item": [[1, 2], [3, 4], [5, 6]]})
    files = write(tmp_path, [table], [0], pool)
    assert {split: pq.read_table(path).to_pydict() for (_, split), path in files.items()} == {
        "train": {"row": [1, 2, 3], "items": [[1, 2], [3, 4], [5, 6]]},
        "valid": {"row": [1, 2], "items": [[1, 2], [3, 4]]},
        "test": {"row": [3], "items": [[5, 6]]},
    }


def test_days_are_cut_and_put_together_from_tables_of_any_size(tmp_path, pool, monkeypatch):
    monkeypatch.setattr(arrow_rows, "ROW_GROUP_SIZE", 4)
    # Five rows of day 1, one of day 2, none of day 3, nine of day 4.
    rows = [*range(first_row(1), first_row(1) + 5), first_row(2), *range(first_row(4), first_row(4) + 9)]
    whole = pa.table({"_row": rows, "_half": ["valid", "test", "test"] * 5, "item": [[row] for row in rows]})
    tables = [whole.slice(0, 2), whole.slice(2, 0), whole.slice(2, 7), whole.slice(9, 6)]
    files = write(tmp_path, tables, [1, 2, 3, 4], pool)
    bounds = {1: (0, 5), 2: (5, 6), 3: (0, 0), 4: (6, 15)}
    for (day, split), path in files.items():
        of_day = range(*bounds[day])
        expected = [rows[n] for n in of_day if split == "train" or (n % 3 == 0) == (split == "valid")]
        assert pq.read_table(path)["items"].to_pylist() == [[row] for row in expected]
    groups = {day: pq.ParquetFile(files[day, "train"]).metadata for day in bounds}
    sizes = {day: [found.row_group(n).num_rows for n in range(found.num_row_groups)] for day, found in groups.items()}
    # Day 1 comes as two rows and three, day 4 as three and six, which are cut.
    assert sizes == {1: [2, 3], 2: [1], 3: [], 4: [3, 4, 2]}


def test_without_rows_all_days_are_empty(tmp_path, pool):
    types = {"_row": pa.int64(), "_half": pa.string(), "item": pa.list_(pa.int64())}
    files = write(tmp_path, [pa.schema(types).empty_table()], [7], pool)
    assert [pq.read_table(path).to_pydict() for path in files.values()] == [{"row": [], "items": []}] * 3


def test_an_error_of_the_rows_is_raised(tmp_path, pool):
    def tables():
        yield pa.table({"_row": [1], "_half": ["test"], "item": [[1]]})
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        write(tmp_path, tables(), [0], pool)


def test_no_file_is_closed_while_another_one_is_written(tmp_path, pool, monkeypatch):
    events, may_write = [], threading.Event()

    class Writer(pq.ParquetWriter):
        def close(self):
            events.append("closed")
            super().close()

    def write_part(writer, rows, split, names):
        if split == "train":
            raise OSError("the disk")
        may_write.wait()
        events.append("written")

    def waiting(tasks):
        may_write.set()
        return concurrent.futures.wait(tasks)

    for name, twin in (("_write_part", write_part), ("wait", waiting), ("pq", SimpleNamespace(ParquetWriter=Writer))):
        monkeypatch.setattr(arrow_rows, name, twin)
    table = pa.table({"_row": [1], "_half": ["valid"], "item": [[1]]})
    try:
        with pytest.raises(OSError, match="the disk"):
            write(tmp_path, [table], [0], pool)
    finally:
        may_write.set()
    assert events == ["written", "written", "closed", "closed", "closed"]


def test_a_half_without_rows_has_no_row_group(tmp_path, pool):
    table = pa.table({"_row": [1], "_half": ["valid"], "item": [[1]]})
    files = write(tmp_path, [table], [0], pool)
    assert {split: pq.read_metadata(path).num_row_groups for (_, split), path in files.items()} == {
        "train": 1,
        "valid": 1,
        "test": 0,
    }


def test_events_are_cut_into_what_is_left_out_a_history_and_the_own_ones():
    rows = pa.table({"_row": [1, 2], "_length": [2, 1]})
    events = pa.record_batch({"item": pa.array([10, 11, 12, 13, 14, 20])})
    starts = np.array([0, 5, 6])
    assert arrow_rows.with_lists(rows, events, starts, ["item"], 2).to_pylist() == [
        {"_row": 1, "_length": 2, "item": [13, 14], "bef_item": [11, 12]},
        {"_row": 2, "_length": 1, "item": [20], "bef_item": []},
    ]
    assert arrow_rows.with_lists(rows, events, starts, ["item"], 0)["item"].to_pylist() == [[10, 11, 12, 13, 14], [20]]


def test_a_stream_of_rows_and_their_events_becomes_parts(tmp_path):
    # Row, its half, its length, and times and items of its events, of which the last `_length` are its own.
    made = [(10, "valid", 2, {0: "a", 1: "b", 2: "c"}), (11, "test", 1, {0: "d"}), (20, "test", 1, {5: "e", 6: "f"})]
    entries = []
    for row, half, length, events in made:
        entries.append({"_row": row, "_half": half, "_length": length, "id": f"s{row}"})
        entries += [{"_row": row, "_at": at, "item": item} for at, item in events.items()]
    types = {"_row": "int64", "_half": "string", "_length": "int64", "id": "string", "_at": "int64", "item": "string"}
    table = pa.Table.from_pylist(entries, pa.schema({name: getattr(pa, kind)() for name, kind in types.items()}))
    # Batches end inside of rows.
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2))
    names = {"id": "session", "item": "items", "bef_item": "bef_items"}
    parts = arrow_rows.write_parts(stream, ["item"], names, str(tmp_path), size=10, history=5)
    first = {"session": "s10", "items": ["b", "c"], "bef_items": ["a"]}
    second = {"session": "s11", "items": ["d"], "bef_items": []}
    third = {"session": "s20", "items": ["f"], "bef_items": ["e"]}
    assert {(part, split): pq.read_table(path).to_pylist() for part, split, path in parts} == {
        (1, "train"): [first, second],
        (1, "valid"): [first],
        (1, "test"): [second],
        (2, "train"): [third],
        (2, "test"): [third],
    }
