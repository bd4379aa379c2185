"""Sessions and lists of raw item ids out of files: parquet, CSV, JSON lines, or an id a line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from transformers4recsys.data.parquet.columns import is_list
from transformers4recsys.errors import InputError

ITEMS, SESSION = "items", "session"
SESSIONS_AT_A_TIME = 4_096
PARQUET_MAGIC = b"PAR1"
FORMATS = ("parquet", "csv", "json")


def save_standard_input(folder: Path) -> Path:
    """Put what comes on standard input into a file that can be read more than once."""
    path = folder / "standard input"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def format_by_content(path: Path) -> str:
    """Tell parquet, JSON lines and CSV apart by how a file begins."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(PARQUET_MAGIC):
        return "parquet"
    return "json" if start.lstrip().startswith(b"{") else "csv"


def holds_sessions(kind: str, path: str) -> bool:
    """Say whether each row is a session with a list `items` of raw ids, and not an event."""
    try:
        if kind == "parquet":
            schema = pq.read_schema(path)
            return ITEMS in schema.names and is_list(schema.field(ITEMS).type)
        if kind == "json":
            nothing: dict[str, Any] = {}
            return isinstance(next(_json_rows(path), nothing).get(ITEMS), list)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"`input` {path} cannot be read: {error}") from error
    return False


def sessions_of(kind: str, path: str) -> Iterator[tuple[list[Any], list[list[Any]]]]:
    """Read the names of sessions and their raw ids, some at a time; without a column `session` they are numbered."""
    first = 0
    for rows in _parts(kind, path):
        names = [row.get(SESSION, first + number) for number, row in enumerate(rows)]
        if kind == "json" and SESSION in rows[0]:
            # JSON does not keep to one type.
            names = [None if name is None else str(name) for name in names]
        yield names, [_items_of(row, path) for row in rows]
        first += len(rows)


def read_item_lists(path: str, *, name: str) -> list[Any] | Mapping[str, list[Any]]:
    """Read raw ids: an id a line, or a table with a column `item`, and `session` where each has a list of its own."""
    file = Path(path).expanduser()
    try:
        if file.suffix.lower() == ".parquet":
            table = pq.read_table(file)
        elif file.suffix.lower() == ".csv":
            table = _csv_as_text(file)
        elif file.suffix.lower() in (".jsonl", ".ndjson", ".json"):
            table = pa.Table.from_pylist(list(_json_rows(str(file))))
        else:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
            return [line.strip() for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"`{name}` {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if "item" not in table.column_names:
        raise InputError(f"`{name}` {path} has no column item; there are {', '.join(table.column_names)}")
    items = table.column("item").to_pylist()
    if SESSION not in table.column_names:
        return items
    lists: dict[str, list[Any]] = {}
    for session, item in zip(table.column(SESSION).to_pylist(), items, strict=True):
        lists.setdefault(str(session), []).append(item)
    return lists


def _parts(kind: str, path: str) -> Iterator[list[dict[str, Any]]]:
    if kind == "parquet":
        with pq.ParquetFile(path) as file:
            names = [name for name in (SESSION, ITEMS) if name in file.schema_arrow.names]
            for batch in file.iter_batches(SESSIONS_AT_A_TIME, columns=names):
                yield batch.to_pylist()
    else:
        rows = _json_rows(path)
        # batched() is younger than Python 3.11.
        while part := list(islice(rows, SESSIONS_AT_A_TIME)):
            yield part


def _items_of(row: Mapping[str, Any], path: str) -> list[Any]:
    items = row.get(ITEMS)
    if type(items) is not list:
        raise InputError(f"`input` {path}: {ITEMS} is {items!r} in session {row.get(SESSION)!r}; give a list of ids")
    return cast("list[Any]", items)


def _json_rows(path: str) -> Iterator[dict[str, Any]]:
    with Path(path).open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error}); give an object a line") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: {line.strip()[:40]} is not an object; give one a line")
            yield row


def _csv_as_text(path: Path) -> pa.Table:
    # An id such as 007 stays what it is.
    names = pyarrow.csv.open_csv(path).schema.names
    return pyarrow.csv.read_csv(
        path, convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    )
