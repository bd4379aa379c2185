"""Measure the loading of day files alone: speed, and with --gigabytes the peak memory on a file of that size.

python benchmarks/loading.py [--sessions 400000] [--repeats 5]     sessions and events a second
python benchmarks/loading.py --gigabytes 5 [--memory 1GB]          peak memory, each reader in a process of its own

Made-up sessions of 2 to 20 items, uniform. Readers: the pyarrow engine holding and streaming; row-wise reading with
pandas as the older program did (needs `pip install pandas`); for memory also whole files with pyarrow and pandas.
JSON lines, the fastest of the repeats; compare numbers of one run with one another.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from transformers4recsys.config import DataArguments, bytes_of
from transformers4recsys.data.arrow_engine import ArrowEngine
from transformers4recsys.data.checks import check_files
from transformers4recsys.data.library import Reading
from transformers4recsys.data.row_groups import row_groups
from transformers4recsys.schema import Schema

ID = {"dtype": "categorical", "cardinality": 100_000}
SCHEMA = Schema.from_entries(
    {
        "item": ID | {"is_label": True},
        "category": ID,
        "price": {"dtype": "float"},
        "time": {"dtype": "timestamp"},
        "session": {"dtype": "long", "is_control": True},
    }
)
BATCH, LONGEST = 256, 20


def block_of_sessions(num_sessions: int) -> pa.Table:
    generator = np.random.default_rng(7)
    lengths = generator.integers(2, LONGEST + 1, num_sessions)
    offsets = pa.array(np.concatenate([[0], lengths.cumsum()]), pa.int32())
    size = int(lengths.sum())
    columns = {
        "item": generator.integers(1, 100_000, size),
        "category": generator.integers(1, 1_000, size),
        "price": generator.random(size),
        "time": generator.integers(1_570_000_000, 1_570_086_400, size),
    }
    lists = {name: pa.ListArray.from_arrays(offsets, pa.array(values)) for name, values in columns.items()}
    return pa.table(lists | {"session": np.arange(num_sessions)})


def write_file(path: Path, num_bytes: int, row_group: int) -> None:
    """Write the same block of sessions again and again, uncompressed."""
    block = block_of_sessions(row_group)
    with pq.ParquetWriter(path, block.schema, compression="none", use_dictionary=False) as writer:
        while not path.exists() or path.stat().st_size < num_bytes:
            writer.write_table(block, row_group_size=row_group)


def engine(path: str, memory_bytes: int, workers_count: int = 2) -> ArrowEngine:
    return ArrowEngine(
        [path],
        schema=SCHEMA,
        batch_size=BATCH,
        session_length_max=LONGEST,
        shuffle=True,
        day=datetime(2026, 1, 1),
        reading=Reading(workers_count),
        memory_bytes=memory_bytes,
    )


class RowWise(Dataset):
    """One pandas row at a time, each list padded: the older program's way."""

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: int) -> dict[str, np.ndarray | int]:
        row = self.frame.loc[index]
        return {name: self.padded(row[name]) for name in row.index}

    def padded(self, values: np.ndarray | int) -> np.ndarray | int:
        if not isinstance(values, np.ndarray):
            return values
        row = np.zeros(LONGEST, values.dtype)
        row[: len(values)] = values
        return row


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def drain(batches) -> None:
    for _ in batches:
        pass


def measure_speed(num_sessions: int, repeats: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "sessions.parquet"))
        table = block_of_sessions(num_sessions)
        pq.write_table(table, path, row_group_size=num_sessions // 16)
        few_rows, few = num_sessions // 8, str(Path(folder, "few.parquet"))
        pq.write_table(table.slice(0, few_rows), few)
        num_bytes = sum(group.num_bytes for group in row_groups([path], SCHEMA))
        held = engine(path, 10**12)
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "check": (num_sessions, lambda: check_files([path], SCHEMA)),
            "held, later epochs": (num_sessions, lambda: drain(held.batches(1))),
        }
        for workers in (0, 1, 2):

            def read(memory_bytes: int, workers: int = workers) -> None:
                drain(engine(path, memory_bytes, workers).batches(0))

            def read_rows(workers: int = workers) -> None:
                drain(DataLoader(RowWise(pd.read_parquet(few)), batch_size=BATCH, shuffle=True, num_workers=workers))

            ways[f"held, first epoch, {workers} workers"] = num_sessions, lambda read=read: read(10**12)
            ways[f"streamed in 4 blocks, {workers} workers"] = num_sessions, lambda read=read: read(num_bytes * 5 // 4)
            ways[f"row-wise pandas, {workers} workers"] = few_rows, read_rows
        times = {name: [seconds_of(work) for _ in range(repeats)] for name, (_, work) in ways.items()}
    events = len(table["item"].chunk(0).flatten()) / num_sessions
    for name, (rows, _) in ways.items():
        speed = rows / min(times[name])
        show(reader=name, sessions_per_second=round(speed), events_per_second=round(speed * events))


def read_streamed(path: str, memory_bytes: int) -> None:
    drain(engine(path, memory_bytes).batches(0))


READERS = {
    "nothing read": lambda path, memory_bytes: None,
    "checked": lambda path, memory_bytes: check_files([path], SCHEMA),
    "pyarrow engine, streamed": read_streamed,
    "whole with pyarrow": lambda path, memory_bytes: pq.read_table(path),
    "whole with pandas": lambda path, memory_bytes: pd.read_parquet(path),
}


def measure_memory(gigabytes: float, memory: str, row_group: int, readers: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sessions.parquet")
        write_file(path, int(gigabytes * 1e9), row_group)
        show(file_gb=path.stat().st_size / 1e9, sessions=pq.ParquetFile(path).metadata.num_rows, memory=memory)
        for reader in readers:
            line = [sys.executable, __file__, "--readers", reader, "--file", str(path), "--memory", memory]
            if subprocess.run(line, check=False).returncode:
                show(reader=reader, failed="more memory than there is")


def measure_reader(reader: str, path: str, memory: str) -> None:
    memory_bytes = bytes_of(DataArguments(loader_memory=memory), "loader_memory")
    seconds = seconds_of(lambda: READERS[reader](path, memory_bytes))
    # Of this process alone; what getrusage() tells counts the process that started it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    show(reader=reader, peak_gb=round(int(peak.split()[1]) * 1024 / 1e9, 2), seconds=round(seconds, 1))


def show(**numbers: object) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gigabytes", type=float)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--row_group", type=int, default=100_000, help="sessions in a row group of the large file")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS), help="of the large file")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file:
        measure_reader(given.readers[0], given.file, given.memory)
    elif given.gigabytes:
        measure_memory(given.gigabytes, given.memory, given.row_group, given.readers)
    else:
        measure_speed(given.sessions, given.repeats)


if __name__ == "__main__":
    main()
