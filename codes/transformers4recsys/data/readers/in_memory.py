"""Reads batches that are in memory already: for training by hand, notebooks and tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema


class InMemoryReader:
    """Yields the same batches in each epoch."""

    def __init__(self, batches: Sequence[Batch]):
        self._batches = list(batches)

    @classmethod
    def from_lists(
        cls, columns: Mapping[str, Sequence[Sequence[float]]], schema: Schema, *, batch_size: int
    ) -> InMemoryReader:
        """Make batches of the lists of sessions, by column; all of a session are equally long."""
        lacking = [feature.name for feature in schema.inputs if feature.name not in columns]
        if lacking:
            raise InputError(f"`columns` lacks {', '.join(lacking)}, which the schema names")
        lists = {feature: columns[feature.name] for feature in schema.inputs}
        num_sessions = len(columns[schema.item_id.name])
        batches: list[Batch] = []
        for start in range(0, num_sessions, batch_size):
            rows = slice(start, start + batch_size)
            batches.append(
                Batch(
                    {
                        feature.name: Jagged.from_lists(
                            [list(session) for session in of[rows]],
                            torch.float32 if feature.dtype == "float" else torch.long,
                        )
                        for feature, of in lists.items()
                    }
                )
            )
        return cls(batches)

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def num_rows(self) -> int:
        return sum(map(len, self._batches))

    def batches(self, epoch: int) -> Iterator[Batch]:
        return iter(self._batches)
