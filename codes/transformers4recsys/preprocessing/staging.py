"""Output is written aside and moved in at the end, so that a killed run leaves all of a call or nothing."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers4recsys.errors import InputError

# A name that begins so is thrown away at the start of the next call; what is WRITTEN is moved in first.
ASIDE = ".preprocess-"
WRITING, WRITTEN = f"{ASIDE}writing", f"{ASIDE}written"
# Held by the call that writes; an empty file that stays, as one that is removed could be locked twice.
LOCK = ".preprocess.lock"


@contextmanager
def only_call(output: Path) -> Iterator[None]:
    """Make sure that no other call writes to `output`; the system lets go of the lock when a call is killed."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        file = (output / LOCK).open("a")
    except OSError as error:
        raise _no_folder(output, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"`output` {output}: another call is writing to it; wait until it has ended") from error
        yield


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """Give a folder to write to; when the block ends well, all its files move to `output`.

    The folder gets its second name in one step; from then on the call counts, and a later call finishes
    the moves that a killed one has left.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        finish(output)
        writing = output / WRITING
        writing.mkdir()
    except OSError as error:
        raise _no_folder(output, error) from error
    try:
        yield writing
        writing.rename(output / WRITTEN)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    finish(output)


@contextmanager
def scratch(output: Path, parent: Path) -> Iterator[Path]:
    """Give the only call of `output` an empty folder below `parent`, until the block ends.

    It is named after `output`, so that what a killed call has left there is thrown away.
    """
    name = hashlib.md5(str(output.resolve()).encode()).hexdigest()
    folder = parent / f"{ASIDE}{name}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror or error}; see `temp_directory`") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish(output: Path) -> None:
    """Move what a call has written to its place; throw away what one has left unfinished."""
    written = output / WRITTEN
    for path in sorted(written.rglob("*")) if written.is_dir() else []:
        # A folder of parquet parts moves as one.
        is_whole = path.is_file() or path.suffix == ".parquet"
        if is_whole and not any(folder.suffix == ".parquet" for folder in path.relative_to(written).parents):
            place = output / path.relative_to(written)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                shutil.rmtree(place)
            elif path.is_dir():
                place.unlink(missing_ok=True)
            os.replace(path, place)
    for folder in output.glob(f"{ASIDE}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _no_folder(output: Path, error: OSError) -> InputError:
    return InputError(f"`output` {output}: {error.strerror or error}; give a folder that can be written to")
