"""What every output promises; a sink overrides what concerns it, the rest does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from transformers4recsys.outputs import Predictions, Report


class Sink(Protocol):
    """Takes numbers and predictions of one day after the other; made with the output folder alone.

    Making one touches no file. A sink lives in the first process only, unless `is_on_every_rank`.
    """

    is_on_every_rank: ClassVar[bool] = False

    def start(self, settings: Mapping[str, object]) -> None:
        """Take the arguments of the run, once, before all else."""

    def numbers(self, report: Report) -> None:
        """Take the numbers of one split of a day; those of `eval` end the day."""

    def predictions(self, predictions: Predictions, day: str) -> None:
        """Take some predictions of a day that has not ended."""

    def close(self) -> None:
        """End a run that went well."""
