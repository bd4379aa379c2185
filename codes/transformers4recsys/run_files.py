"""The files of a run: put in place together, known by their SHA-256, and read as one."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import BinaryIO

from safetensors import SafetensorError

from transformers4recsys.errors import InputError

MANIFEST, FORMAT = "manifest.json", 1
# An earlier run waits here until the one that replaces it has finished its first day.
EARLIER = ".earlier-run"
# What older versions left behind; the file itself is a pickle, which is never opened.
OLD_STATE = "optimizer.pt"
NUM_TRIES = 3
UNFINISHED = re.compile(r"\..+\.(writing|[0-9a-f]{16})")

Content = bytes | Callable[[Path], object]


@dataclass(frozen=True)
class Entry:
    """What the manifest knows of a file."""

    sha256: str
    size: int


class Snapshot:
    """The files of one manifest, opened and checked; they stay readable when a writer replaces them."""

    def __init__(self, folder: Path, files: Mapping[str, BinaryIO], entries: Mapping[str, Entry]):
        self.folder, self.entries = folder, entries
        self._files, self._one_reader = files, Lock()

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """Open every file that the manifest lists; raise InputError on one that is damaged, missing or foreign."""
        for number in range(1, NUM_TRIES + 1):
            manifest = read_manifest(folder)
            try:
                return cls(folder, {name: _checked(folder, name, manifest[name]) for name in manifest}, manifest)
            except InputError:
                # A writer may have come between the manifest and its files.
                if number == NUM_TRIES:
                    raise
        raise AssertionError

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def names_in(self, subfolder: str) -> list[str]:
        """List the files of a subfolder, by their names in the manifest."""
        return sorted(name for name in self._files if name.startswith(f"{subfolder}/"))

    def file(self, name: str) -> BinaryIO:
        """Give a file as it is open here; whoever reads it begins by a `seek`."""
        return self._files[name]

    def read(self, name: str) -> bytes:
        """Read a whole file; threads may read one after another."""
        file = self._files[name]
        with self._one_reader:
            file.seek(0)
            return file.read()


def publish(folder: Path, contents: Mapping[str, Content], *, removed: Iterable[str] = ()) -> None:
    """Replace some files of `folder` in one step; a reader sees all of them or none, whenever it comes.

    Each content waits under its checksum until the manifest, which names all checksums, gets its name: that rename is
    the step. Files that are listed already and not mentioned here stay. After a kill, finish() does the rest.
    """
    try:
        entries = dict(read_manifest(folder)) if (folder / MANIFEST).exists() else {}
        for name in removed:
            entries.pop(name, None)
        for name, content in contents.items():
            if not _is_there(folder, name, content, entries.get(name)):
                entries[name] = _put_aside(folder, name, content)
        listed = {name: {"sha256": entry.sha256, "bytes": entry.size} for name, entry in sorted(entries.items())}
        replace_file(folder / MANIFEST, _as_json({"format": FORMAT, "files": listed}))
        finish(folder)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        has_earlier = (folder / MANIFEST).exists()
        what_is_left = "its earlier files are whole" if has_earlier else "nothing of it was saved before"
        on = "go on with --resume_from_checkpoint" if has_earlier else "start again"
        raise InputError(
            f"{folder}: the run cannot be saved ({reason}); {what_is_left}. "
            f"Make room or give the folder back its rights, and {on}"
        ) from error


def finish(folder: Path) -> None:
    """Move the files of the manifest to their places, and remove what a writer put aside that was killed before."""
    for name, entry in read_manifest(folder).items():
        aside = _aside(folder, name, entry.sha256)
        if aside.exists():
            os.replace(aside, folder / name)
            sync_folder((folder / name).parent)
    remove_unfinished(folder)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed writer put aside, in the folder and one level below."""
    for path in [*folder.glob(".*"), *folder.glob("*/.*")]:
        if UNFINISHED.fullmatch(path.name) and path.is_file():
            path.unlink()


def read_manifest(folder: Path) -> Mapping[str, Entry]:
    """Read what `folder` should hold; raise InputError where it holds no run."""
    for place in (folder, folder / EARLIER):
        try:
            text = (place / MANIFEST).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{place / MANIFEST} cannot be read: {error}") from error
        return _entries(text, place / MANIFEST)
    if (folder / OLD_STATE).exists():
        raise InputError(
            f"{folder} was written by an older version of this program ({OLD_STATE}, and no {MANIFEST}), which this "
            "one does not read; train again in another folder"
        )
    raise InputError(f"{folder} holds no finished day of a run (no {MANIFEST}); give the --output_dir of a run")


def _entries(text: str, path: Path) -> Mapping[str, Entry]:
    try:
        manifest = json.loads(text)
        number = manifest["format"]
        entries = {str(name): Entry(str(e["sha256"]), int(e["bytes"])) for name, e in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}); restore the folder from a copy, or train again") from error
    if number != FORMAT:
        raise InputError(f"{path} has format {number!r}, and this version reads format {FORMAT}; update the program")
    for name in entries:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(
                f"{path} lists {name!r}, which lies outside the folder; it is not a manifest of this program"
            )
    return entries


def _checked(folder: Path, name: str, entry: Entry) -> BinaryIO:
    """Open a file in the one place where it can be, and compare it with the manifest."""
    places = [folder, folder / EARLIER]
    for path in [_aside(folder, name, entry.sha256), *(place / name for place in places)]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == entry.sha256:
            return file
        size = file.tell()
        file.close()
        of_another_size = f"{size} bytes; {MANIFEST} says {entry.size}"
        what = f"another SHA-256 than {MANIFEST} says" if size == entry.size else of_another_size
        raise InputError(
            f"{path} is not the file that this run wrote ({what}); "
            "it was damaged, or comes from another run: restore it from a copy"
        )
    raise InputError(f"{folder / name} is missing, and {MANIFEST} lists it; restore it from a copy")


def _is_there(folder: Path, name: str, content: Content, entry: Entry | None) -> bool:
    """Say whether a file of today has this content already, such as a vocabulary that did not change."""
    if entry is None or not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != entry.sha256:
        return False
    try:
        return (folder / name).read_bytes() == content
    except OSError:
        return False


def _put_aside(folder: Path, name: str, content: Content) -> Entry:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f".{path.name}.writing")
    if isinstance(content, bytes):
        writing.write_bytes(content)
    else:
        content(writing)
    # Some writers leave files that their owner alone can read.
    writing.chmod(0o644)
    with writing.open("rb") as file:
        os.fsync(file.fileno())
        entry = Entry(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
    os.replace(writing, _aside(folder, name, entry.sha256))
    sync_folder(path.parent)
    return entry


def _aside(folder: Path, name: str, sha256: str) -> Path:
    path = folder / name
    return path.with_name(f".{path.name}.{sha256[:16]}")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole: aside, synced, renamed."""
    writing = path.with_name(f".{path.name}.writing")
    with writing.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(writing, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder to the disk; a no-op where the system cannot open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_json(value: object) -> bytes:
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()
