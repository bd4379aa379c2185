"""CSV files and JSON lines: their encoding, the copies that a database can read, and the first line that is broken."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.dialect import Dialect, Record, records

CHUNK = 1 << 22
SAMPLE_LINES, SAMPLE_SIZE = 1000, 1 << 20
LONGEST_SHOWN = 80
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def is_encoding(name: str) -> bool:
    """Whether text can be written so."""
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False


def encoding_of(path: str, encoding: str | None) -> str:
    """Give the encoding: that of the mark at the beginning of the file, the one given, or UTF-8."""
    with _opened(path) as file:
        start = file.read(4)
    marked = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    return marked or codecs.lookup(encoding or "utf-8").name


def sample(path: str, encoding: str) -> list[str]:
    """Give the first lines of a file, whole ones."""
    with _text(path, encoding, is_lenient=True) as lines:
        found = list(islice(lines, SAMPLE_LINES))
    size = 0
    for number, line in enumerate(found):
        size += len(line)
        if size > SAMPLE_SIZE and number:
            return found[:number]
    return found


def readable(path: str, name: str, encoding: str, place: Path) -> str:
    """Check that a whole file is text of its encoding; give the path to read.

    What is not UTF-8, with line ends of one kind, is rewritten at `place`.

    Databases read UTF-8, and take the line end of the first line for that of all.
    """
    if encoding != "utf-8":
        return _rewritten(path, name, encoding, place)
    decoder = codecs.getincrementaldecoder("utf-8")()
    feeds = returns = pairs = 0
    last = b""
    with _opened(path) as file:
        while chunk := file.read(CHUNK):
            try:
                # What is ASCII needs no look at each byte, as long as no character is open.
                if not chunk.isascii() or decoder.getstate()[0]:
                    decoder.decode(chunk)
            except UnicodeDecodeError:
                raise _undecodable(path, name, encoding) from None
            feeds, returns = feeds + chunk.count(b"\n"), returns + chunk.count(b"\r")
            pairs += chunk.count(b"\r\n") + (last.endswith(b"\r") and chunk.startswith(b"\n"))
            last = chunk[-1:]
    if decoder.getstate()[0]:
        raise _undecodable(path, name, encoding)
    is_uniform = not returns or feeds == returns == pairs
    return path if is_uniform else _rewritten(path, name, encoding, place)


def _rewritten(path: str, name: str, encoding: str, place: Path) -> str:
    try:
        with _text(path, encoding) as lines, place.open("w", encoding="utf-8", newline="\n") as copy:
            while text := lines.read(CHUNK):
                copy.write(text)
    except UnicodeError:
        raise _undecodable(path, name, encoding) from None
    return str(place)


def without_broken_lines(path: str, encoding: str, dialect: Dialect | None, place: Path) -> int:
    """Write the rows that can be read at `place`, and count the lines left out."""
    num_broken = 0
    with _text(path, encoding, is_lenient=True) as lines, place.open("w", encoding="utf-8", newline="\n") as copy:
        for record in _checked(lines, dialect):
            if record.fault:
                num_broken += 1
            else:
                copy.write(record.text if record.text.endswith("\n") else f"{record.text}\n")
    return num_broken


def first_broken(path: str, dialect: Dialect | None) -> Record | None:
    """Find the first row of a file in UTF-8 that is broken, by plain reading."""
    with _text(path, "utf-8", is_lenient=True) as lines:
        return next((record for record in _checked(lines, dialect) if record.fault), None)


def keys_of(path: str) -> list[str]:
    """Give the keys of the first JSON object."""
    with _text(path, "utf-8", is_lenient=True) as lines:
        first = next((line for line in lines if line.strip()), "{}")
    return list(json.loads(first))


def shown(text: str) -> str:
    """Quote a line in a message, shortened."""
    line = text.rstrip("\r\n")
    return repr(line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}...")


def _checked(lines: TextIO, dialect: Dialect | None) -> Iterator[Record]:
    """List the rows of CSV, or of JSON lines without a dialect; what is no row has a fault."""
    rows = records(lines, dialect.separator, dialect.quote) if dialect else _json_records(lines)
    for record in rows:
        fault = record.fault
        if not fault and dialect and len(record.values) != len(dialect.columns):
            fault = f"{len(record.values)} values where {len(dialect.columns)} columns are expected"
        if not fault and not record.text.isascii() and _is_undecodable(record.text):
            fault = "bytes that are not of the file's encoding"
        yield Record(record.line, record.text, record.values, fault) if fault else record


def _json_records(lines: TextIO) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                is_object = isinstance(json.loads(line), dict)
                yield Record(number, line, fault=None if is_object else "it is not a JSON object")
            except ValueError as error:
                yield Record(number, line, fault=f"it is not JSON: {error}")


def _is_undecodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _undecodable(path: str, name: str, encoding: str) -> InputError:
    """Name the first line that is not of the encoding."""
    with _opened(path) as file:
        # Other encodings than those of several bytes a line end are alike in that line ends are what they are.
        wide = encoding.startswith(("utf-16", "utf-32"))
        for number, line in enumerate([] if wide else file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                found = line[error.start : error.start + 1]
                where = f"line {number} holds the byte {found!r}"
                break
        else:
            where = "its bytes end inside a character"
    return InputError(
        f"{name} is not text in {encoding.removesuffix('-sig').upper()}: {where}; give its `encoding`, such as cp1252"
    )


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}; write or copy it again") from error


@contextmanager
def _text(path: str, encoding: str, *, is_lenient: bool = False) -> Iterator[TextIO]:
    """Open a file as text, with \\n at the end of each line."""
    errors = "surrogateescape" if is_lenient else "strict"
    with _opened(path) as file, TextIOWrapper(file, encoding=encoding, errors=errors) as text:
        yield text
