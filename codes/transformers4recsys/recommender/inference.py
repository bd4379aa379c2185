"""What comes after whole sessions: a model, and rows of its input columns, give hidden states and lists of items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from transformers4recsys.batch import Batch
from transformers4recsys.data.parquet.ragged import RaggedTable, collate
from transformers4recsys.metrics.catalogue import all_scores
from transformers4recsys.model.targets import TARGET_RULES
from transformers4recsys.models import AnyModel
from transformers4recsys.outputs import SparseScores
from transformers4recsys.schema import Feature, Schema

# Sessions that go through the model together.
SESSIONS_AT_A_TIME = 1_024


@dataclass(frozen=True)
class Sessions:
    """S sessions of one item or more: the input columns of their items, and those of their users' pasts."""

    current: RaggedTable
    past: RaggedTable | None = None

    def __len__(self) -> int:
        return len(self.current)


class Inference:
    """Predicts the item that follows each session, as evaluation predicts the last item of one.

    A placeholder stands where the next item will. A causal model predicts it at the position before, which never sees
    it; a masked one sees its mask there. So what a model reads is what it reads when a session ends with its label.
    """

    def __init__(
        self,
        model: AnyModel,
        *,
        session_length_max: int,
        past_length_max: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        self.schema = inputs_of(model.schema)
        model.schema, model.evaluation_targets = self.schema, TARGET_RULES[f"{model.training_targets.task}_last"]()
        self.model = model.to(device).eval()
        self.device, self.dtype = device, dtype
        self.longest_session, self._past_length_max = session_length_max - 1, past_length_max
        # From sessions with their placeholders to hidden states, (B, E); another engine can take the place of PyTorch.
        self.encode_batch: Callable[[Batch], Tensor] = self._by_torch
        with torch.no_grad(), self._precision():
            self.item_table = model.item_table
            if self.item_table is not None:
                self.item_table = self.item_table.detach().to(dtype)
            self.item_bias = model.bias.detach()

    def encode(self, sessions: Sessions) -> Iterator[Tensor | SparseScores]:
        """Give the hidden states, (B, E), that score the item after each session, some sessions at a time.

        Of a baseline these are scores already.
        """
        for start in range(0, len(sessions), SESSIONS_AT_A_TIME):
            rows = np.arange(start, min(start + SESSIONS_AT_A_TIME, len(sessions)))
            hidden_BE = self.encode_batch(self._batch(sessions, rows))
            assert len(hidden_BE) == len(rows), "each session has one next item"
            yield hidden_BE

    def scores(self, hidden_BE: Tensor | SparseScores) -> Tensor:
        """Score every item, (B, V); padding scores -inf."""
        if self.item_table is None or isinstance(hidden_BE, SparseScores):
            return all_scores(hidden_BE, None, self.item_bias)
        products_BV = hidden_BE.to(self.item_table.dtype) @ self.item_table.T
        return products_BV.float() + self.item_bias.float()

    def _by_torch(self, batch: Batch) -> Tensor:
        with torch.no_grad(), self._precision():
            return self.model(batch.to(self.device)).hidden

    def _precision(self) -> AbstractContextManager[object]:
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)

    def _batch(self, sessions: Sessions, rows: np.ndarray) -> Batch:
        current = _last(sessions.current, rows, self.longest_session)
        tables = [_with_placeholder(current, self.schema.item_id)]
        if self.schema.past:
            past = sessions.past or _nothing(tuple(self.schema.past.values()), len(sessions))
            tables.append(_last(past, rows, self._past_length_max))
        [batch] = collate(tables, np.array([len(rows)]))
        return batch


def inputs_of(schema: Schema) -> Schema:
    """Leave out what the model never reads: controls, times, and negatives."""
    names = {feature.name for feature in schema.inputs}
    past = {of: feature for of, feature in schema.past.items() if of in names}
    return replace(schema, features=schema.inputs, past=past, negatives={})


def _last(table: RaggedTable, rows: np.ndarray, length: int) -> RaggedTable:
    return table.last(rows, np.minimum(np.diff(table.offsets)[rows], length))


def _with_placeholder(table: RaggedTable, item: Feature) -> RaggedTable:
    """Put one position behind each session, with any item and with nothing else."""
    offsets = table.offsets + np.arange(len(table) + 1)
    is_placeholder = np.zeros(offsets[-1], dtype=bool)
    is_placeholder[offsets[1:] - 1] = True
    columns: dict[str, np.ndarray] = {}
    for name, values in table.values.items():
        columns[name] = np.full(offsets[-1], 1 if name == item.name else 0, dtype=values.dtype)
        columns[name][~is_placeholder] = values
    return RaggedTable(offsets, columns)


def _nothing(features: tuple[Feature, ...], num_rows: int) -> RaggedTable:
    kinds = {feature.name: np.float32 if feature.dtype == "float" else np.int64 for feature in features}
    return RaggedTable(
        np.zeros(num_rows + 1, dtype=np.int64), {name: np.empty(0, kind) for name, kind in kinds.items()}
    )
