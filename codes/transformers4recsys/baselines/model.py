"""A baseline in the place of a model: the same batches in, scores of the next item out, nothing that has a gradient."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from transformers4recsys.baselines.protocol import Baseline
from transformers4recsys.baselines.sessions import Sessions, prefixes
from transformers4recsys.batch import Batch, moved
from transformers4recsys.counted_items import CountsItems
from transformers4recsys.errors import InputError
from transformers4recsys.outputs import ModelOutput, SparseScores, Targets
from transformers4recsys.schema import Schema

STATE = "state."


class _TargetRule(Protocol):
    hides_inputs: bool
    task: str

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets: ...

    def count(self, lengths_B: Tensor) -> Tensor: ...


class BaselineModel(CountsItems):
    """Predicts by a baseline, which counts on the CPU; its state is saved and loaded as weights are.

    `item_counts` (V,) says how often each item stood in the training sessions so far. Past sessions of a user are not
    read.
    """

    has_gradients: Literal[False] = False
    has_sparse_gradients = False
    # There are no output vectors: the hidden states of an output are scores already.
    item_table = shards = None

    def __init__(self, baseline: Baseline, schema: Schema, targets: _TargetRule):
        super().__init__(schema.item_id.cardinality)
        self.baseline, self.schema = baseline, schema
        self.training_targets = self.evaluation_targets = targets

    @property
    def reads_unknown(self) -> bool:
        """Whether an unknown item means something to it."""
        return False

    @property
    def is_rankable_V(self) -> Tensor:
        """Whether each item was seen in training, (V,)."""
        return self.item_counts > 0

    @property
    def bias(self) -> Tensor:
        """What is added to each item's score, (V,) float64; -inf for padding."""
        bias_V = torch.from_numpy(self.baseline.bias(self.schema.item_id.cardinality)).to(self.item_counts.device)
        bias_V[0] = -torch.inf
        return bias_V

    def learn(self, batch: Batch, day: int) -> None:
        """Read some training sessions of a day, by its number."""
        items = batch.columns[self.schema.item_id.name]
        self.baseline.learn(Sessions(items.values.cpu().numpy(), items.offsets.cpu().numpy()), day)

    def forward(self, batch: Batch) -> ModelOutput:
        """Score what follows at each position that the evaluation asks for."""
        items = batch.host.columns[self.schema.item_id.name]
        item_ids_BL = items.padded(items.max_length)
        targets = self.evaluation_targets.select(item_ids_BL, torch.zeros_like(item_ids_BL, dtype=torch.bool))
        row_P, position_P = targets.is_target.nonzero().unbind(1)
        positions_P2 = torch.stack([row_P, position_P + 1], dim=1)
        labels_P = moved(targets.item_ids[targets.is_target], batch.device)
        return ModelOutput(
            None, self.scores_before(batch, positions_P2), labels_P, moved(positions_P2, batch.device), item_ids_BL
        )

    def scores_before(self, batch: Batch, positions_P2: Tensor) -> SparseScores:
        """Score the item at each position (row, position in the session) from the items before it."""
        items = batch.host.columns[self.schema.item_id.name]
        row_P, position_P = positions_P2.unbind(1)
        found = self.baseline.scores(prefixes(items.values, items.offsets, row_P, position_P))
        return SparseScores(*(torch.from_numpy(np.ascontiguousarray(each)) for each in found))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, values in self.baseline.state().items():
            destination[f"{prefix}{STATE}{name}"] = torch.from_numpy(np.ascontiguousarray(values))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        # Counts grow with the vocabulary; the state has any size.
        names = [name for name in state_dict if name.startswith(f"{prefix}{STATE}")]
        state = {name.removeprefix(f"{prefix}{STATE}"): state_dict.pop(name).cpu().numpy() for name in names}
        try:
            self.baseline.restore(state)
        except KeyError as error:
            raise InputError(f"the state of a {type(self.baseline).__name__} baseline lacks {error}") from error
        # Earlier versions did not count sessions.
        state_dict.setdefault(f"{prefix}session_counts", torch.zeros_like(self.session_counts))
        for name in (f"{prefix}item_counts", f"{prefix}session_counts"):
            counts = state_dict.get(name)
            if counts is not None and len(counts) < len(self.item_counts):
                state_dict[name] = nn.functional.pad(counts, (0, len(self.item_counts) - len(counts)))
        super()._load_from_state_dict(state_dict, prefix, *others)
