"""Measure the loading of day files alone: speed, and with --gigabytes the peak memory on a file of that size.

python benchmarks/loading.py [--cores 1 2]                         sessions and events a second
python benchmarks/loading.py --gigabytes 5 [--memory 1GB]          peak memory, each reader in a process of its own
.venv-nvtabular/bin/python benchmarks/loading.py --cores 1 2 --engines pyarrow nvtabular      so petastorm too

Made-up sessions of 2 to 20 items, uniform. Readers: each library holding, the pyarrow reader also streaming; row-wise
reading with pandas as the older program did (needs `pip install pandas`); for memory also whole files with pyarrow and
pandas. The environments of the other readers are those of `make engine-nvtabular` and `make engine-petastorm`.
JSON lines, the fastest of the repeats; compare numbers of one run with one another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from transformers4recsys.data.checks import check_files
from transformers4recsys.data.parquet.row_groups import row_groups
from transformers4recsys.data.readers import READERS
from transformers4recsys.data.readers.library import Library, Reading
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.schema import Schema
from transformers4recsys.settings import num_bytes

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


def open_reader(path: str, memory_bytes: int, workers_count: int = 2, library: Library | None = None) -> DayReader:
    return DayReader(
        [path],
        schema=SCHEMA,
        batch_size=BATCH,
        session_length_max=LONGEST,
        shuffle=True,
        day=datetime(2026, 1, 1),
        library=library,
        reading=Reading(workers_count=workers_count),
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


def measure_speed(num_sessions: int, repeats: int, readers: list[str]) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path, few = (str(Path(folder, name)) for name in ("sessions.parquet", "few.parquet"))
        table = block_of_sessions(num_sessions)
        pq.write_table(table, path, row_group_size=num_sessions // 16)
        pq.write_table(table.slice(0, num_sessions // 8), few)
        ways = {name: (num_sessions, way) for each in readers for name, way in ways_of_reader(each, path).items()}
        if "pyarrow" in readers:
            ways |= {name: (num_sessions, way) for name, way in ways_of_pyarrow(path).items()}
            ways |= {name: (num_sessions // 8, way) for name, way in ways_of_rows(few).items()}
        times = {name: [seconds_of(way) for _ in range(repeats)] for name, (_, way) in ways.items()}
    events = len(table["item"].chunk(0).flatten()) / num_sessions
    cores = len(os.sched_getaffinity(0))
    for name, (rows, _) in ways.items():
        speed = rows / min(times[name])
        show(cores=cores, reader=name, sessions_per_second=round(speed), events_per_second=round(speed * events))


def ways_of_reader(name: str, path: str) -> dict[str, Callable[[], object]]:
    """Hold the rows that a reader has read: what its first epoch and the later ones take."""
    library = READERS[name]
    if library:
        library.check_usable(path)
    held = open_reader(path, 10**12, library=library)
    ways: dict[str, Callable[[], object]] = {}
    for workers in (0,) if name == "nvtabular" else (0, 1, 2):
        ways[f"{name}, first epoch, {workers} workers"] = lambda workers=workers: drain(
            open_reader(path, 10**12, workers, library).batches(0)
        )
    return ways | {f"{name}, later epochs": lambda: drain(held.batches(1))}


def ways_of_pyarrow(path: str) -> dict[str, Callable[[], object]]:
    """Stream the rows, and check the file."""
    memory_bytes = sum(group.num_bytes for group in row_groups([path], SCHEMA)) * 5 // 4
    ways: dict[str, Callable[[], object]] = {"check": lambda: check_files([path], SCHEMA)}
    for workers in (0, 1, 2):
        ways[f"pyarrow, streamed in 4 blocks, {workers} workers"] = lambda workers=workers: drain(
            open_reader(path, memory_bytes, workers).batches(0)
        )
    return ways


def ways_of_rows(path: str) -> dict[str, Callable[[], object]]:
    def read(workers: int) -> None:
        drain(DataLoader(RowWise(pd.read_parquet(path)), batch_size=BATCH, shuffle=True, num_workers=workers))

    return {f"row-wise pandas, {workers} workers": partial(read, workers) for workers in (0, 1, 2)}


def measure_on_cores(number: int, flags: list[str]) -> None:
    """Run this script with these flags in a process that has so many cores from its start, and so all its threads."""
    cores = sorted(os.sched_getaffinity(0))[:number]
    assert len(cores) == number, f"--cores {number}: here are {len(cores)}"
    line = [sys.executable, __file__, *flags]
    subprocess.run(line, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))


def read_streamed(path: str, memory_bytes: int) -> None:
    drain(open_reader(path, memory_bytes).batches(0))


WAYS_TO_READ = {
    "nothing read": lambda path, memory_bytes: None,
    "checked": lambda path, memory_bytes: check_files([path], SCHEMA),
    "pyarrow reader, streamed": read_streamed,
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
    memory_bytes = num_bytes(memory, "memory")
    seconds = seconds_of(lambda: WAYS_TO_READ[reader](path, memory_bytes))
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
    parser.add_argument("--engines", nargs="+", choices=READERS, default=["pyarrow"], help="whose speed is measured")
    parser.add_argument(
        "--cores", nargs="+", type=int, help="measure speed on so many cores, one number after the other"
    )
    parser.add_argument("--gigabytes", type=float)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--row_group", type=int, default=100_000, help="sessions in a row group of the large file")
    parser.add_argument("--readers", nargs="+", choices=WAYS_TO_READ, default=list(WAYS_TO_READ), help="of the file")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file:
        measure_reader(given.readers[0], given.file, given.memory)
    elif given.gigabytes:
        measure_memory(given.gigabytes, given.memory, given.row_group, given.readers)
    elif given.cores:
        for number in given.cores:
            flags = ["--sessions", str(given.sessions), "--repeats", str(given.repeats), "--engines", *given.engines]
            measure_on_cores(number, flags)
    else:
        measure_speed(given.sessions, given.repeats, given.engines)


if __name__ == "__main__":
    main()
