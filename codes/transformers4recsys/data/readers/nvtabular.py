"""Reads day files with NVTabular: the values and offsets of merlin's data loader, a file at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
import torch

from transformers4recsys.data.parquet.columns import is_list, value_type
from transformers4recsys.data.parquet.files import locate, open_parquet
from transformers4recsys.data.parquet.row_groups import RowGroup
from transformers4recsys.data.readers.library import Library, Reading, as_column


def read_tables(
    groups: Sequence[RowGroup], names: Sequence[str], reading: Reading
) -> Iterator[tuple[Sequence[RowGroup], pa.Table]]:
    """Read file by file, in partitions of a share of the memory: the GPU's if cuDF is installed, else the host's.

    The loader has no tensors for timestamps and fails on a column without any value: those are left out.
    """
    for file, of_file in groupby(groups, key=lambda group: group.file):
        read = list(of_file)
        types = {name: open_parquet(file).schema_arrow.field(name).type for name in names}
        num_rows = sum(group.num_rows for group in read)
        readable = {name: each for name, each in types.items() if num_rows and _is_readable(read, name, each)}
        yield read, _read_file(read, readable, reading.nvt_part_mem_fraction) if readable else pa.table({})


def _read_file(groups: Sequence[RowGroup], types: Mapping[str, pa.DataType], part_mem_fraction: float) -> pa.Table:
    from merlin.io import Dataset  # pyright: ignore[reportMissingModuleSource]
    from merlin.loader.torch import Loader  # pyright: ignore[reportMissingModuleSource]
    from merlin.schema import ColumnSchema, Schema  # pyright: ignore[reportMissingModuleSource]

    with warnings.catch_warnings():
        # It calls reading without a GPU experimental, and small row groups slow.
        warnings.simplefilter("ignore")
        columns = [
            ColumnSchema(
                name,
                dtype=value_type(column_type).to_pandas_dtype(),
                dims=(None, None) if is_list(column_type) else (None,),
            )
            for name, column_type in types.items()
        ]
        _, path = locate(groups[0].file)
        dataset = Dataset(path, engine="parquet", part_mem_fraction=part_mem_fraction, schema=Schema(columns))
        # One batch of all rows: the loader puts what a partition leaves over in front of the next one.
        ((tensors, _),) = Loader(dataset, batch_size=sum(group.num_rows for group in groups), shuffle=False)
    arrays = {name: _to_numpy(tensor) for name, tensor in tensors.items()}
    return pa.table(
        {
            name: as_column(arrays[f"{name}__values"], arrays[f"{name}__offsets"])
            if is_list(column_type)
            else as_column(arrays[name], None)
            for name, column_type in types.items()
        }
    )


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _is_readable(groups: Sequence[RowGroup], name: str, column_type: pa.DataType) -> bool:
    inner = column_type.value_type if is_list(column_type) else column_type
    if not (pa.types.is_integer(inner) or pa.types.is_float32(inner) or pa.types.is_float64(inner)):
        return False
    if not is_list(column_type):
        return True
    # Any value is enough, so most often the first slice decides.
    slices = (rows for group in groups for rows in group.read_slices([name], 8_192))
    return any(len(rows.column(name).flatten()) for rows in slices)


NVTABULAR = Library("nvtabular", read_tables, package="merlin.loader.torch", used_settings=("nvt_part_mem_fraction",))
