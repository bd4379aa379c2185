"""The output folder of a run: one writer at a time, and an earlier run kept until the new one stands."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from transformers4recsys.errors import InputError
from transformers4recsys.run_files import EARLIER, MANIFEST, finish, read_manifest, remove_unfinished, sync_folder
from transformers4recsys.settings import setting


@dataclass(frozen=True)
class OutputSettings:
    """Output: what becomes of an earlier run"""

    overwrite_output_dir: bool = setting(
        False, "start anew in an output folder that has results already", if_changed="ignore"
    )


log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
RESULTS = (
    "train_results_dates.txt",
    "eval_results_dates.txt",
    "eval_results_avg_over_days.txt",
    "eval_train_results_dates.csv",
    "log.json",
    "pred_logs",
    "attention_weights",
    "profile",
    CHECKPOINTS,
    "updates",
    "model.safetensors",
    "config.json",
    "progress.json",
    "trainer_state.json",
    "optimizer.pt",
)
LOCK, PREPROCESSED = ".run.lock", "preprocessing.json"
# What a disk that is full, read-only or gone says.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR}
# In EARLIER: the earlier run is there as a whole, and what lies beside it belongs to the new one.
MOVED = ".moved"
# An earlier run that is not needed any more, on its way out.
DISCARDED = ".discarded-run"


class OutputFolder:
    """Held by the one process that writes; touches nothing of an earlier run before start()."""

    def __init__(self, folder: Path, lock: IO[str]):
        self.folder, self._lock = folder, lock
        self._earlier, self._is_new = folder / EARLIER, False

    def require_empty(self, *, may_overwrite: bool) -> None:
        """Raise InputError if an earlier run is here that may not be replaced, or the output of `preprocess`."""
        if (self.folder / PREPROCESSED).exists() and not (self.folder / MANIFEST).exists():
            raise InputError(f"`output_dir` {self.folder} holds day files ({PREPROCESSED}); give a folder of its own")
        earlier = self._results()
        if (earlier or self._earlier.exists()) and not may_overwrite:
            found = earlier[0].name if earlier else EARLIER
            raise InputError(
                f"`output_dir` {self.folder} holds an earlier run ({found}); choose another folder, replace it with "
                "`overwrite_output_dir`, or go on with `resume_from_checkpoint`"
            )

    def start(self) -> None:
        """Move an earlier run aside, whole; it is put back if the new one fails before keep()."""
        self.put_back()
        self._earlier.mkdir(exist_ok=True)
        for path in self._results():
            place = self._earlier / path.relative_to(self.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
        _remove_empty(self.folder / "vocabulary")
        (self._earlier / MOVED).touch()
        sync_folder(self._earlier)
        self._is_new = True

    def go_on(self) -> None:
        """Bring what a killed run left in order, to go on with it."""
        is_first_day = not (self.folder / MANIFEST).exists() and self._has_checkpoint()
        if not is_first_day:
            self.put_back()
        if (self.folder / MANIFEST).exists():
            finish(self.folder)

    def keep(self) -> None:
        """Let go of the earlier run: the new one has finished a day."""
        self._is_new = False
        if self._earlier.exists():
            shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)
            os.replace(self._earlier, self.folder / DISCARDED)
        shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)

    def put_back(self) -> None:
        """Restore the earlier run, if there is one, in place of one that has not finished a day."""
        if (self._earlier / MOVED).exists():
            if (self.folder / MANIFEST).exists():
                # Killed between the first finished day and keep().
                self.keep()
                return
            for path in self._results():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            remove_unfinished(self.folder)
            (self._earlier / MOVED).unlink()
        if self._earlier.exists():
            for path in [each for each in self._earlier.rglob("*") if each.is_file()]:
                place = self.folder / path.relative_to(self._earlier)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
                log.debug("%s is back in its place", place)
            shutil.rmtree(self._earlier)
        shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)

    def fail(self, *, was_stopped: bool) -> None:
        """End a run that failed: what it began is undone if it has not finished a day, or can be gone on with."""
        if self._is_new and not (was_stopped and self._has_checkpoint()):
            self.put_back()
        self._is_new = False

    def close(self) -> None:
        """Let others write."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / LOCK).unlink()
        self._lock.close()

    def _has_checkpoint(self) -> bool:
        return any((self.folder / CHECKPOINTS).glob(f"*/{MANIFEST}"))

    def _results(self) -> list[Path]:
        """List what a run has put here."""
        named = [self.folder / name for name in RESULTS]
        # The manifest moves last, and so says until then what belongs to the run.
        if (self.folder / MANIFEST).exists():
            with contextlib.suppress(InputError):
                named += [self.folder / name for name in read_manifest(self.folder)]
        named += [*sorted(self.folder.glob("checkpoint-*")), self.folder / MANIFEST]
        return [path for path in dict.fromkeys(named) if path.exists()]


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[OutputFolder]:
    """Hold the folder for one run; raise InputError if another one writes to it, or nothing can be written."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder / LOCK)
    except OSError as error:
        raise InputError(
            f"`output_dir` {folder} cannot be written to ({error.strerror}); give a folder that can"
        ) from error
    output = OutputFolder(folder, lock)
    try:
        yield output
    except BaseException as error:
        output.fail(was_stopped=isinstance(error, SystemExit | KeyboardInterrupt))
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise InputError(
                f"{error.filename or folder}: {error.strerror}; mend that, and go on with `resume_from_checkpoint`"
            ) from error
        raise
    finally:
        output.close()
        if is_new:
            _remove_empty(folder)


def _locked(path: Path) -> IO[str]:
    """Lock a file that says who holds it; the system lets go of the lock of a process that is gone."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = _holder_in(file.read())
            file.close()
            raise InputError(
                f"`output_dir` {path.parent} is in use by another run ({holder}); wait until it has ended, stop it, "
                "or give another folder"
            ) from error
        except OSError as error:
            log.warning("%s: this file system has no locks (%s); see to it that one run writes here", path, error)
        # The holder before may have removed the file between its opening and its locking here.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
    file.flush()
    return file


def _holder_in(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said which"


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
