"""Another library that reads row groups: what it is called with, what it cannot do, and what pyarrow adds."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from transformers4recsys.data.parquet.files import is_local, locate
from transformers4recsys.data.parquet.ragged import RaggedTable
from transformers4recsys.data.parquet.row_groups import SHARES_OF_MEMORY, RowGroup, row_groups
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema
from transformers4recsys.settings import check, num_bytes, setting


@dataclass(frozen=True)
class Reading:
    """Reading: by which workers, and in how much memory"""

    nvt_part_mem_fraction: float = setting(
        0.1, "share of the GPU's memory for an NVTabular partition, of the host's without cuDF", above=0, below=1
    )
    petastorm_reader_pool_type: str = setting("thread", "petastorm's pool", choices=("thread", "process", "dummy"))
    workers_count: int = setting(
        8, "reading workers of pyarrow and petastorm; 0 reads in the process itself", at_least=0
    )
    loader_memory: str = setting(
        "4GB",
        "memory to read in, a process; what takes more is streamed by pyarrow, refused by the other readers",
        is_bytes=True,
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def memory_bytes(self) -> int:
        return num_bytes(self.loader_memory, "loader_memory")


# Reads columns by name: some row groups at a time, in order, each time with the columns that it can give.
ReadTables = Callable[[Sequence[RowGroup], Sequence[str], Reading], Iterable[tuple[Sequence[RowGroup], pa.Table]]]


@dataclass(frozen=True)
class Library:
    """Reads with `read_tables`; what `package` has to be imported, and which pattern no path may hold.

    `used_settings` are those of Reading that it uses beside the memory.

    Its environment is that of `make engine-NAME`, of Python 3.11.
    """

    name: str
    read_tables: ReadTables
    package: str
    used_settings: tuple[str, ...]
    unreadable_in_paths: str = "(?!)"

    def pieces(
        self,
        groups: Sequence[RowGroup],
        names: Sequence[str],
        reading: Reading,
        to_ragged: Callable[[pa.Table], list[RaggedTable]],
    ) -> list[list[RaggedTable]]:
        """Read all row groups; columns of a type that the library cannot give are read with pyarrow."""
        try:
            tables = self.read_tables(groups, names, reading) if groups else ()
            return [to_ragged(completed(table, read, names)) for read, table in tables]
        except pa.ArrowException as error:
            files = ", ".join(dict.fromkeys(group.file for group in groups))
            raise InputError(
                f"{self.name} cannot read {files}: {error}; choose `data_loader_engine` pyarrow"
            ) from error

    def check_usable(self, data_path: str) -> None:
        """Raise InputError if the package is not installed, or cannot read from such a place."""
        if not is_local(data_path):
            raise InputError(
                f"`data_loader_engine` {self.name} reads local files only, not {data_path}; copy them, "
                "or choose `data_loader_engine` pyarrow"
            )
        try:
            with warnings.catch_warnings():
                # They warn of what else they could work with, and of their own age.
                warnings.simplefilter("ignore")
                importlib.import_module(self.package)
        except ImportError as error:
            raise InputError(
                f"`data_loader_engine` {self.name} cannot be used in this environment ({error}): its package needs "
                f"older versions of pyarrow, numpy and pandas than the others. `make engine-{self.name}` installs it "
                "in an environment of its own and tries it; then run "
                f".venv-{self.name}/bin/transformers4recsys train ..., or choose `data_loader_engine` pyarrow here"
            ) from error

    def check_readable(self, together: Iterable[Sequence[str]], schema: Schema, memory_bytes: int) -> None:
        """Raise InputError if it cannot read some files, or not hold those read at once."""
        sizes: dict[str, int] = {}
        for files in together:
            for file in files:
                if re.search(self.unreadable_in_paths, local_path(file)):
                    raise InputError(
                        f"{file}: {self.name} cannot read a path with #, ? or ;: rename it, "
                        "or choose `data_loader_engine` pyarrow"
                    )
                if file not in sizes:
                    sizes[file] = sum(group.num_bytes for group in row_groups([file], schema))
            require_room(files, sum(sizes[file] for file in files), memory_bytes // SHARES_OF_MEMORY)


def completed(table: pa.Table, groups: Sequence[RowGroup], names: Sequence[str]) -> pa.Table:
    """Read the columns that a table of these row groups lacks with pyarrow."""
    assert not table.num_columns or len(table) == sum(group.num_rows for group in groups), "libraries keep all rows"
    lacking = [name for name in names if name not in table.column_names]
    if not lacking:
        return table
    others = pa.concat_tables([group.read(lacking) for group in groups])
    for name in lacking:
        table = table.append_column(name, others.column(name))
    return table


def as_column(values: np.ndarray, offsets: np.ndarray | None) -> pa.Array:
    """Make a column of values (N,), with offsets (R+1,) if its rows are lists."""
    column = pa.array(values)
    return column if offsets is None else pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), column)


def local_path(file: str) -> str:
    return str(Path(locate(file)[1]).absolute())


def require_room(files: Sequence[str], num_bytes: int, room: int) -> None:
    """Raise InputError if rows that are held whole take more than there is room for."""
    if num_bytes > room:
        raise InputError(
            f"the rows of {', '.join(files)} may take {num_bytes / 1e9:.3g} GB, but this reader holds them all "
            f"and may hold {room / 1e9:.3g} GB, a fifth of `loader_memory`; raise it, "
            "or choose `data_loader_engine` pyarrow, which streams"
        )
