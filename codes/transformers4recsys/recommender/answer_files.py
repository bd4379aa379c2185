"""Recommendations are written as they come: parquet, CSV or JSON lines, to a file or to standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from transformers4recsys.errors import InputError

STANDARD_OUTPUT = "-"
FORMAT_OF_ENDING = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


class Writer(Protocol):
    """Writes tables of one schema, one after the other."""

    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """Writes an object a line."""

    def __init__(self, file: IO[bytes], schema: pa.Schema):
        self._file = file

    def write_table(self, table: pa.Table) -> None:
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in table.to_pylist())
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        self._file.flush()


WRITERS: dict[str, Callable[[Any, pa.Schema], Writer]] = {
    "parquet": lambda file, schema: pq.ParquetWriter(file, schema),
    "csv": lambda file, schema: pyarrow.csv.CSVWriter(
        file, schema, write_options=pyarrow.csv.WriteOptions(quoting_style="needed")
    ),
    "jsonl": JsonLines,
}


def format_of(output: str, output_format: str | None) -> str:
    """Say how to write: as asked, else by the ending of the file; CSV to standard output."""
    if output_format or output == STANDARD_OUTPUT:
        return output_format or "csv"
    ending = Path(output).suffix.lower()
    if ending not in FORMAT_OF_ENDING:
        raise InputError(
            f"`output` {output}: the ending does not say how to write it; allowed are "
            f"{', '.join(FORMAT_OF_ENDING)}, or give `output_format` ({', '.join(WRITERS)})"
        )
    return FORMAT_OF_ENDING[ending]


@contextmanager
def answer_file(output: str, output_format: str | None) -> Generator[Callable[[pa.Table], None]]:
    """Give what writes a table; a file gets its name when all are written, and is not there when something fails."""
    chosen = format_of(output, output_format)
    if output == STANDARD_OUTPUT:
        with _writing(chosen, sys.stdout.buffer) as write:
            yield write
        sys.stdout.buffer.flush()
        return
    path = Path(output).expanduser()
    aside = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file, _writing(chosen, file) as write:
            yield write
        os.replace(aside, path)
    except OSError as error:
        raise InputError(f"`output` {output} cannot be written: {error.strerror or error}") from error
    finally:
        # A folder that cannot be written to refuses this too, even where there is nothing to remove.
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def _writing(chosen: str, file: IO[bytes]) -> Generator[Callable[[pa.Table], None]]:
    writers: list[Writer] = []

    def write(table: pa.Table) -> None:
        table = table.replace_schema_metadata(None)
        if not writers:
            writers.append(WRITERS[chosen](file, table.schema))
        writers[0].write_table(table)

    yield write
    for writer in writers:
        writer.close()
