"""Batches of day files that another library reads: its rows are held whole and dealt out like those of pyarrow."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from transformers4recsys.batch import Batch
from transformers4recsys.data.arrow_engine import SHARES_OF_MEMORY, batches_of
from transformers4recsys.data.engine import batch_bounds, row_order
from transformers4recsys.data.files import is_local, locate
from transformers4recsys.data.row_groups import RowGroup, row_groups
from transformers4recsys.data.rows import joined, to_rows
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

# What has to be imported for an engine whose library has an environment of its own, `make engine-NAME`.
PACKAGES = {"nvtabular": "merlin.loader.torch", "petastorm": "petastorm"}
# What a path must not hold, as a pattern.
UNREADABLE_IN_PATHS = {"petastorm": "[#?;]"}

# Reads row groups with a library, given column names and its settings: in order, some row groups at a time, each time
# with the columns that it can give.
ReadTables = Callable[..., Iterator[tuple[Sequence[RowGroup], pa.Table]]]


class HeldEngine:
    """Yields exactly the batches of an ArrowEngine that holds its rows, from rows that a library has read.

    Columns of a type that the library cannot give are read with pyarrow. `reading` holds the library's settings.
    Rows that would take more than a fifth of `memory_bytes` are refused.
    """

    def __init__(
        self,
        files: Sequence[str],
        *,
        read_tables: ReadTables,
        reading: Mapping[str, Any],
        schema: Schema,
        batch_size: int,
        session_length_max: int,
        past_length_max: int = 0,
        shuffle: bool = False,
        seed: int = 0,
        day: datetime,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        memory_bytes: int = 4_000_000_000,
    ):
        groups = row_groups(files, schema)
        _require_room(files, sum(group.num_bytes for group in groups), memory_bytes // SHARES_OF_MEMORY)
        names = [feature.name for feature in schema.columns]
        as_rows = partial(
            to_rows, schema=schema, session_length_max=session_length_max, past_length_max=past_length_max
        )
        try:
            tables = read_tables(groups, names, **reading) if groups else ()
            pieces = [as_rows(completed(table, read, names)) for read, table in tables]
        except pa.ArrowException as error:
            raise InputError(
                f"this engine's library cannot read {', '.join(files)}: {error}; choose --data_loader_engine pyarrow"
            ) from error
        self.columns = [joined(same_columns) for same_columns in zip(*pieces, strict=True)]
        self.order = partial(row_order, self.num_rows, shuffle=shuffle, seed=seed, day=day)
        self.bounds = batch_bounds(
            self.num_rows, batch_size=batch_size, rank=rank, world_size=world_size, drop_last=drop_last
        )

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def num_rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of this rank in the order of the epoch."""
        return batches_of(self.columns, self.order(epoch=epoch), self.bounds)


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


def check_usable(engine: str, data_path: str) -> None:
    """Raise InputError if the package of an engine is not installed, or cannot read from such a place."""
    if engine not in PACKAGES:
        return
    if not is_local(data_path):
        raise InputError(
            f"--data_loader_engine {engine} reads local files only, not {data_path}; copy them, "
            "or choose --data_loader_engine pyarrow"
        )
    try:
        with warnings.catch_warnings():
            # They warn of what else they could work with, and of their own age.
            warnings.simplefilter("ignore")
            importlib.import_module(PACKAGES[engine])
    except ImportError as error:
        raise InputError(
            f"--data_loader_engine {engine} cannot be used in this environment ({error}): its package needs older "
            f"versions of pyarrow, numpy and pandas than the others. `make engine-{engine}` installs it in an "
            f"environment of its own and tries it; then run .venv-{engine}/bin/transformers4recsys train ..., "
            "or choose --data_loader_engine pyarrow here"
        ) from error


def check_readable(engine: str, together: Iterable[Sequence[str]], schema: Schema, memory_bytes: int) -> None:
    """Raise InputError if an engine of another library cannot read some files, or not hold those read at once."""
    if engine not in PACKAGES:
        return
    sizes: dict[str, int] = {}
    for files in together:
        for file in files:
            if engine in UNREADABLE_IN_PATHS and re.search(UNREADABLE_IN_PATHS[engine], local_path(file)):
                raise InputError(
                    f"{file}: {engine} cannot read a path with #, ? or ;: rename it, "
                    "or choose --data_loader_engine pyarrow"
                )
            if file not in sizes:
                sizes[file] = sum(group.num_bytes for group in row_groups([file], schema))
        _require_room(files, sum(sizes[file] for file in files), memory_bytes // SHARES_OF_MEMORY)


def local_path(file: str) -> str:
    return str(Path(locate(file)[1]).absolute())


def _require_room(files: Sequence[str], num_bytes: int, room: int) -> None:
    if num_bytes > room:
        raise InputError(
            f"the rows of {', '.join(files)} may take {num_bytes / 1e9:.3g} GB, but this engine holds them all "
            f"and may hold {room / 1e9:.3g} GB, a fifth of --loader_memory; raise it, "
            "or choose --data_loader_engine pyarrow, which streams"
        )
