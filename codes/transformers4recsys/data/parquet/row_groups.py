"""Row groups of parquet files: how large their rows become, how many hold a session, and their columns read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformers4recsys.data.parquet.columns import flattened
from transformers4recsys.data.parquet.files import open_parquet, unreadable
from transformers4recsys.schema import Feature, Schema

# A column chunk is read through a buffer of this size where it may be larger than memory.
BUFFER_SIZE = 4 << 20
ROWS_AT_A_TIME = 65_536

# A run holds the rows of two days at most while it reads a third, and that takes three times the space of its rows.
SHARES_OF_MEMORY = 5


@dataclass(frozen=True)
class RowGroup:
    """One row group of a file; `num_bytes` is what its rows take as flat arrays, at most."""

    file: str
    metadata: pq.FileMetaData
    number: int
    num_rows: int
    num_bytes: int

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read some columns in the calling thread."""
        parquet = open_parquet(self.file, self.metadata)
        try:
            return parquet.read_row_group(self.number, columns=list(names), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.file, error) from error

    def read_slices(self, names: Sequence[str], num_rows: int) -> Iterator[pa.RecordBatch]:
        """Read some columns, `num_rows` at a time, without ever holding them all."""
        parquet = open_parquet(self.file, self.metadata, buffer_size=BUFFER_SIZE)
        return read_slices(parquet, self.file, names, num_rows, numbers=[self.number])

    def count_sessions(self, item_name: str) -> int:
        """Count the rows with two or more items; of all columns only this one is read."""
        lists = (flattened(rows.column(item_name))[1] for rows in self.read_slices([item_name], ROWS_AT_A_TIME))
        return sum(int((np.diff(offsets) > 1).sum()) for offsets in lists if offsets is not None)


def read_slices(
    parquet: pq.ParquetFile,
    file: str,
    names: Sequence[str],
    num_rows: int,
    *,
    numbers: Sequence[int] | None = None,
    use_threads: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Read some columns of an open file, `num_rows` at a time, of all row groups or those of these numbers.

    Threads read several columns at once. Only what is opened with a buffer is never held whole.
    """
    row_groups = None if numbers is None else list(numbers)
    try:
        yield from parquet.iter_batches(num_rows, row_groups=row_groups, columns=list(names), use_threads=use_threads)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error


def row_groups(
    files: Sequence[str], schema: Schema, footers: Mapping[str, pq.FileMetaData] | None = None
) -> list[RowGroup]:
    """List the row groups of all files, in order; only footers are read, but for those that are known already."""
    groups: list[RowGroup] = []
    for file in files:
        metadata = footers[file] if footers and file in footers else open_parquet(file).metadata
        for number in range(metadata.num_row_groups):
            of_group = metadata.row_group(number)
            groups.append(RowGroup(file, metadata, number, of_group.num_rows, num_bytes(of_group, schema)))
    return groups


def num_bytes(of_group: pq.RowGroupMetaData, schema: Schema) -> int:
    """Bound the bytes of a row group as flat arrays: 4 for a float, 8 for any other value and for an offset."""
    columns = [of_group.column(number) for number in range(of_group.num_columns)]

    def num_values(feature: Feature) -> int:
        # A list column is stored as "name.list.element", or other words of the program that wrote it.
        prefix = f"{feature.name}."
        return max(column.num_values for column in columns if f"{column.path_in_schema}.".startswith(prefix))

    num_lists = 1 + bool(schema.past) + len(schema.negatives)
    in_session = num_values(schema.item_id)
    total = 8 * num_lists * of_group.num_rows
    for feature in schema.columns:
        # A single value is repeated at each of the session's positions.
        values = in_session if feature in schema.features else num_values(feature)
        total += values * (4 if feature.dtype == "float" else 8)
    return total
