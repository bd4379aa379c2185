"""Which raw files are meant: a file, a pattern or a folder, here or in a store, of parquet, CSV or JSON lines."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from transformers4recsys.data.parquet.files import is_local, locate, redact_credentials
from transformers4recsys.errors import InputError

KINDS = {
    ".parquet": "parquet",
    **dict.fromkeys((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".dat"), "csv"),
    **dict.fromkeys((".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson"), "json"),
}
CHUNK = 1 << 22


def kind_of(path: str | Path) -> str | None:
    """Say whether a file is parquet, CSV or JSON lines, by its name; None for anything else."""
    return next((kind for ending, kind in KINDS.items() if str(path).lower().endswith(ending)), None)


def check_found(inputs: Iterable[str | Path]) -> None:
    """Raise InputError if a local input names no file or folder; nothing in folders or stores is looked at."""
    for item in map(str, inputs):
        path = Path(_path_of(item)).expanduser()
        if is_local(item) and not (path.is_dir() or path.is_file()):
            _matches_of(path)


def raw_files(
    inputs: str | Path | Sequence[str | Path],
    *,
    output: Path,
    pattern: str | None = None,
    file_format: str | None = None,
) -> tuple[str, list[str]]:
    """List the raw files, sorted, paths or URIs, and their one kind: `file_format`, or what their names say.

    In folders, hidden files (. or _ in front) are skipped, and those whose name does not match `pattern`.
    """
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if pattern and (pattern.startswith(("/", "~")) or ".." in PurePosixPath(pattern).parts):
        raise InputError(f"`files` {pattern!r} leads out of the input; give a pattern of names inside it")
    any_name = pattern or ("*" if file_format else None)
    files = [file for item in given for file in _files_of(str(item), output, any_name)]
    kinds = {file_format or kind_of(_path_of(file)) for file in files}
    if None in kinds or len(kinds) > 1:
        names = ", ".join(sorted(PurePosixPath(_path_of(file)).name for file in files)[:5])
        raise InputError(
            f"`input`: give files of one kind ({', '.join(KINDS)}), or say by `file_format` what they are; "
            f"found {names} ..."
        )
    return kinds.pop() or "", sorted(set(files))


def to_local(files: Iterable[str], folder: Path) -> dict[str, str]:
    """Give the path at which each file can be read; those of a store are copied to `folder`."""
    paths = {}
    for number, file in enumerate(files):
        paths[file] = file
        if _is_uri(file):
            file_system, location = locate(file)
            ending = "".join(PurePosixPath(location).suffixes[-2:])
            place = folder / f"{number}{ending if kind_of(ending) else ''}"
            try:
                with file_system.open_input_stream(location, compression=None) as source, place.open("wb") as copy:
                    shutil.copyfileobj(source, copy, CHUNK)
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(file, error) from error
            paths[file] = str(place)
    return paths


def _files_of(item: str, output: Path, pattern: str | None) -> list[str]:
    if is_local(item):
        return [str(path) for path in _local_files(Path(_path_of(item)).expanduser(), output.resolve(), pattern)]
    return _remote_files(item, pattern)


def _local_files(path: Path, output: Path, pattern: str | None) -> list[Path]:
    if path.is_dir():
        if path.resolve() in (output, *output.parents):
            raise InputError(
                f"`output` {output} lies in the input folder {path}, where its files would be read as raw ones; write "
                "to a folder outside of it"
            )
        below = [file for file in path.rglob(pattern or "*") if (pattern or kind_of(file)) and file.is_file()]
        files = [file for file in below if not _is_hidden(str(file.relative_to(path)))]
        if not files:
            raise _no_file(str(path), pattern)
    elif path.is_file():
        files = [path]
    else:
        files = [file for one in _matches_of(path) for file in _local_files(one, output, pattern)]
    inside = [file for file in files if output in file.resolve().parents]
    if inside:
        raise InputError(
            f"`input`: {inside[0]} lies in the output folder {output}; write to a folder outside the input"
        )
    return files


def _matches_of(path: Path) -> list[Path]:
    """List the files and folders that a path stands for which names none itself."""
    if path.exists():
        raise InputError(f"`input` {path} is a pipe or a device, and a log is read more than once; save it as a file")
    found = [Path(name) for name in glob(str(path), recursive=True)]
    if not found:
        raise InputError(f"`input` {path}: there is no such file or folder, and as a pattern it matches nothing")
    return found


def _remote_files(uri: str, pattern: str | None) -> list[str]:
    """List what a URI stands for: a file, a pattern with * in it, or a folder."""
    address, mark, options = uri.partition("?")
    # Up to the first *, a URI names a folder.
    base, star, _ = address.partition("*")
    base = base.rpartition("/")[0] if star else address
    file_system, location = locate(f"{base}{mark}{options}")
    try:
        info = file_system.get_file_info(location)
        if info.type == fs.FileType.File:
            return [uri]
        if info.type == fs.FileType.NotFound:
            raise InputError(f"`input` {redact_credentials(uri)}: there is no such file or folder")
        entries = file_system.get_file_info(fs.FileSelector(location, recursive=True))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(uri, error) from error
    names = [entry.path.removeprefix(location).lstrip("/") for entry in entries if entry.type == fs.FileType.File]
    tail = address.removeprefix(base).lstrip("/")
    if star:
        names = [name for name in names if fnmatch.fnmatchcase(name, tail) and name.count("/") == tail.count("/")]
    else:
        names = [name for name in names if not _is_hidden(name)]
        names = [name for name in names if _matches(name, pattern) and (pattern or kind_of(name))]
    if not names:
        raise _no_file(redact_credentials(uri), tail if star else pattern)
    return [f"{base.rstrip('/')}/{name}{mark}{options}" for name in names]


def _matches(name: str, pattern: str | None) -> bool:
    return pattern is None or PurePosixPath(name).match(pattern)


def _is_hidden(name: str) -> bool:
    return any(part[0] in "._" for part in PurePosixPath(name).parts)


def _is_uri(file: str) -> bool:
    return not is_local(file)


def _path_of(item: str) -> str:
    """Give the path of a local file or of a URI, without its host and options."""
    return unquote(urlsplit(item).path) if "://" in item else item


def _no_file(place: str, pattern: str | None) -> InputError:
    wanted = f"matches {pattern}" if pattern else f"ends in {', '.join(KINDS)}"
    return InputError(f"`input` {place}: no file in this folder {wanted}")


def _unreadable(uri: str, error: Exception) -> InputError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(f"`input` {redact_credentials(uri)} cannot be read: {reason}")
