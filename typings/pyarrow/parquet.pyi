"""Parquet files."""

from collections.abc import Iterator, Sequence
from typing import Any

from pyarrow import RecordBatch, Schema, Table
from pyarrow.fs import FileSystem

class ColumnChunkMetaData:
    num_values: int
    path_in_schema: str
    def __getattr__(self, name: str) -> Any: ...

class RowGroupMetaData:
    num_columns: int
    num_rows: int
    def column(self, number: int) -> ColumnChunkMetaData: ...
    def __getattr__(self, name: str) -> Any: ...

class FileMetaData:
    num_row_groups: int
    num_rows: int
    def row_group(self, number: int) -> RowGroupMetaData: ...
    def __getattr__(self, name: str) -> Any: ...

class ParquetFile:
    metadata: FileMetaData
    schema_arrow: Schema
    def __init__(
        self,
        source: Any,
        *,
        metadata: FileMetaData | None = None,
        buffer_size: int = 0,
        pre_buffer: bool = False,
        filesystem: FileSystem | None = None,
        **others: Any,
    ) -> None: ...
    def __enter__(self) -> ParquetFile: ...
    def __exit__(self, *exception: object) -> None: ...
    def iter_batches(
        self,
        batch_size: int = 65536,
        row_groups: Sequence[int] | None = None,
        columns: Sequence[str] | None = None,
        use_threads: bool = True,
    ) -> Iterator[RecordBatch]: ...
    def read_row_group(self, i: int, columns: Sequence[str] | None = None, use_threads: bool = True) -> Table: ...
    def __getattr__(self, name: str) -> Any: ...

def read_schema(where: Any, **others: Any) -> Schema: ...
def read_table(source: Any, **others: Any) -> Table: ...
def __getattr__(name: str) -> Any: ...
