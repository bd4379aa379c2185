"""Small parquet files that the data tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write columns (lists, or arrow arrays for a certain type) to a parquet file and give its path."""

    def write_file(name: str = "file.parquet", *, row_group_size: int | None = None, **columns: object) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
        return str(path)

    return write_file
