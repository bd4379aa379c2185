"""Paths and URIs of parquet files: where they lead, what a folder holds, how a file is opened."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from transformers4recsys.errors import InputError


def locate(path: str) -> tuple[fs.FileSystem, str]:
    """Give the file system that a path or URI leads to, and the path there; `~` expands."""
    if not _is_uri(path):
        return fs.LocalFileSystem(), str(Path(path).expanduser())
    try:
        return fs.FileSystem.from_uri(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} cannot be opened: {_first_line(error)}; give a folder, or a URI of s3://, gs://, hdfs:// or file://"
        ) from error


def is_local(path: str) -> bool:
    return not _is_uri(path) or path.startswith("file://")


def redact_credentials(text: str) -> str:
    """Mask the names and keys that URIs in a text hold, before a host or as options, so that it can be written down."""
    # A key may hold a slash or an @; elsewhere a port, which digits and a slash tell, is none.
    text = re.sub(r"\b((?:s3|gs)://)[^/:?@\s]*:[^?\s'\"]*@", r"\1***@", text)
    text = re.sub(r"(\w://)(?:[^:/?@\s]*:(?!\d+/)[^?@\s]*|[^/?@\s]*)@", r"\1***@", text)
    return re.sub(r"([?&][\w-]*(?:key|secret|token|password|signature)[\w-]*=)[^&\s'\"]*", r"\1***", text, flags=re.I)


def inside(folder: str, name: str) -> str:
    """Give the path or URI of `name` in a folder; the options of a URI stay behind it."""
    if not _is_uri(folder):
        return str(Path(folder).expanduser() / name)
    base, question_mark, options = folder.partition("?")
    return f"{base.rstrip('/')}/{quote(name, safe='=')}{question_mark}{options}"


def folder_entries(folder: str) -> dict[str, fs.FileInfo]:
    """List the files and folders right inside a folder, by name."""
    file_system, path = locate(folder)
    try:
        if file_system.get_file_info(path).type != fs.FileType.Directory:
            raise InputError(f"{folder} is not a folder; give the folder that holds the day files")
        entries = file_system.get_file_info(fs.FileSelector(path))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {_first_line(error)}") from error
    return {entry.base_name: entry for entry in sorted(entries, key=lambda entry: entry.base_name)}


def parquet_parts(folder: str) -> tuple[str, ...]:
    """List the parts of a parquet folder in the order of their names, without Spark's own files (_SUCCESS, .crc)."""
    return tuple(
        inside(folder, name)
        for name, entry in folder_entries(folder).items()
        if entry.type == fs.FileType.File and not name.startswith(("_", "."))
    )


def open_parquet(path: str, metadata: pq.FileMetaData | None = None, *, buffer_size: int = 0) -> pq.ParquetFile:
    """Open one parquet file; InputError says why it cannot be read.

    With a `buffer_size`, that many bytes of a column chunk are read at a time, else the whole chunk.
    """
    file_system, location = locate(path)
    # Reading ahead whole column chunks would undo the buffer.
    pre_buffer = not buffer_size
    try:
        return pq.ParquetFile(
            location, metadata=metadata, filesystem=file_system, buffer_size=buffer_size, pre_buffer=pre_buffer
        )
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or _first_line(error)}") from error
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> InputError:
    """Say that a file does not hold a whole parquet file."""
    return InputError(
        f"{path} cannot be read as parquet: {_first_line(error)}. It is not a parquet file, or was truncated while "
        "it was written or copied; write or copy it again"
    )


def _is_uri(path: str) -> bool:
    return "://" in path


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(" .")
