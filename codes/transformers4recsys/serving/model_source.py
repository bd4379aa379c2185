"""The model that answers: loaded from a run folder, and taken over when a new day has been written there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Model = TypeVar("Model")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stamp:
    """What tells one state of a run folder from the next: each finished day puts a new manifest in place."""

    inode: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """Look at the manifest; None where there is none, as in the moment of a rename."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_ino, status.st_mtime_ns)


class ModelSource(Generic[Model]):
    """Holds the current model; `take_over` loads the next one beside it, then changes one reference.

    A request that has begun keeps the model it began with, so no request is dropped, and none mixes two days.
    """

    def __init__(self, manifest: Path, load: Callable[[], Model]):
        self._manifest, self._load = manifest, load
        self._stamp = Stamp.of(manifest)
        self.current: Model = load()

    def take_over(self) -> bool:
        """Load the model of a new day if there is one; a folder that cannot be read leaves the current one in place."""
        stamp = Stamp.of(self._manifest)
        if stamp is None or stamp == self._stamp:
            return False
        try:
            self.current = self._load()
        except Exception as error:
            log.warning("the new model could not be loaded, the earlier one goes on answering: %s", error)
            return False
        self._stamp = stamp
        return True

    async def watch(
        self,
        executor: Executor,
        seconds: float,
        *,
        on_change: Callable[[], None] = lambda: None,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Look for a new day every so many seconds, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await wait(seconds)
            if await loop.run_in_executor(executor, self.take_over):
                on_change()
