"""What every engine promises, and the order in which it deals the rows out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from transformers4recsys.batch import Batch


class Engine(Protocol):
    """Reads the day files of one training or evaluation run and yields its batches on this rank."""

    def __len__(self) -> int:
        """Number of batches on this rank."""
        ...

    @property
    def num_rows(self) -> int:
        """Sessions an epoch, over all ranks."""
        ...

    def batches(self, epoch: int) -> Iterator[Batch]: ...
