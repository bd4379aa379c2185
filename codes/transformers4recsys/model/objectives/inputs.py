"""What every loss is built from and reads: settings, facts of the model, P predictions; and sums of losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from transformers4recsys.model.objectives.own_candidates import distinct, products
from transformers4recsys.model.scoring import upcast, without_padding
from transformers4recsys.row_shards import RowShards, rows_of_all
from transformers4recsys.settings import Parts, setting


@dataclass(frozen=True)
class LossWeights:
    """Loss weights: how much each part counts"""

    all_rescale_factor: float = setting(1.0, "weight of the loss over the catalogue")
    loss_scale_factor: float = setting(1.0, "weight of the whole loss")


@dataclass(frozen=True)
class LossSetup:
    """What a loss is built from: settings, and facts of the model; `width` and `num_items` are the item table's.

    `own` holds the settings of the loss's own classes.
    """

    width: int
    num_items: int
    has_negative_column: bool = False
    has_content: bool = False
    label_smoothing: float = 0.0
    seed: int = 0
    weights: LossWeights = LossWeights()
    own: Parts = Parts({})


@dataclass(frozen=True)
class Loss:
    """A loss by name in OBJECTIVES: how it is built, the classes of its own settings, and its pure function.

    `kind` says which scores the function reads: those of the whole catalogue, or those of the label and of negatives,
    which are drawn items, items of other sessions in the batch, or items of a column. `is_reading` says whether the
    settings of a class have an effect, given all.
    """

    kind: Literal["catalogue", "sampled", "in_batch", "negative_column"]
    function: Callable[..., Tensor]
    build: Callable[[LossSetup], WeightedSum]
    settings: tuple[type, ...] = ()
    is_reading: Callable[[type, Parts], bool] = lambda settings_class, own: True
    takes_label_smoothing: bool = False


@dataclass(frozen=True)
class LossInputs:
    """All that an objective may need of P predictions.

    With `shards`, processes share out table and bias, of which each has its part.
    """

    hidden_PE: Tensor
    labels_P: Tensor
    row_P: Tensor  # the session of each prediction
    item_table_VE: Tensor
    item_bias_V1: Tensor
    item_counts_V: Tensor  # how often each item stood in the training sessions so far
    negatives_PK: Tensor | None = None  # ids of the negative column at each label, 0 where there is none
    has_sparse_gradients: bool = False  # of table and bias: of the rows that were read alone
    to_vectors: Callable[[Tensor], Tensor] = lambda weights: weights  # of rows of the table, those that are scored
    content_rows: Callable[[Tensor], Tensor] | None = None  # what is added to the rows of items, by their ids
    seen_ids_S: Tensor | None = None  # with content: the items of the catalogue so far, behind padding
    rows_V: Tensor | None = None  # which row of table and bias stands for each item: its own one, or 0 for unknown
    shards: RowShards | None = None

    @property
    def bias_V(self) -> Tensor:
        """The bias of every item, -inf for padding."""
        return without_padding(self.item_bias_V1[:, 0])

    def items(self, ids: Tensor) -> Tensor:
        """Give the vectors of some items, (..., E)."""
        rows = self._looked_up(ids, self.item_table_VE)
        return self.to_vectors(rows if self.content_rows is None else rows + self.content_rows(ids))

    def catalogue(self) -> tuple[Tensor, Tensor, Tensor]:
        """Give vectors and biases of the items that compete, and the places of the labels among them, (P,).

        Those are all; with content, those seen in training so far: what the content of items says is not to be learned
        from items that nobody could click yet.
        """
        ids_S = self.seen_ids_S
        if ids_S is None or self.content_rows is None:
            return self.to_vectors(self.item_table_VE), self.bias_V, self.labels_P
        rows_S = self._own_rows(ids_S)
        table_SE = self.item_table_VE.index_select(0, rows_S) + self.content_rows(ids_S)
        bias_S = without_padding(self.item_bias_V1[:, 0].index_select(0, rows_S))
        return self.to_vectors(table_SE), bias_S, torch.searchsorted(ids_S, self.labels_P)

    def _own_rows(self, ids: Tensor) -> Tensor:
        return ids if self.rows_V is None else self.rows_V[ids]

    def biases(self, ids: Tensor) -> Tensor:
        """Read the biases of some items, none of them padding, in the shape of `ids`."""
        return self._looked_up(ids, self.item_bias_V1)[..., 0]

    def _looked_up(self, ids: Tensor, weights_VE: Tensor) -> Tensor:
        if self.shards is not None:
            return rows_of_all(ids, weights_VE, self.shards, sparse=self.has_sparse_gradients)
        return embedding(self._own_rows(ids), weights_VE, sparse=self.has_sparse_gradients)

    def label_scores(self) -> Tensor:
        """Score the labels alone, (P,)."""
        of_items_P = (upcast(self.hidden_PE) * upcast(self.items(self.labels_P))).sum(dim=1)
        return of_items_P + self.biases(self.labels_P)

    def scores_of(self, ids_K: Tensor) -> Tensor:
        """Score the same K items for each prediction, (P, K), touching only their rows of the table."""
        return linear(self.hidden_PE, self.items(ids_K), self.biases(ids_K).to(self.hidden_PE.dtype))

    def scores_of_own(self, ids_PK: Tensor) -> Tensor:
        """Score K items of its own for each prediction, (P, K)."""
        ids_U, places_PK = distinct(ids_PK, len(self.item_counts_V))
        return products(self.hidden_PE, self.items(ids_U), places_PK) + self.biases(ids_PK)

    def nothing(self) -> Tensor:
        """Give 0, with a gradient of 0 for all that a loss would reach."""
        no_id = self.labels_P[:0]
        return (self.hidden_PE.sum() + self.items(no_id).sum() + self.biases(no_id).sum()) * 0


class Objective(Protocol):
    """Gives the loss of a training batch; says whether it reads the rows of all items for it, or of some."""

    reads_all_items: bool

    def __call__(self, inputs: LossInputs) -> Tensor: ...


class WeightedSum(nn.Module):
    """The sum of some objectives, each times its weight."""

    def __init__(self, objectives: Sequence[nn.Module], weights: Sequence[float]):
        super().__init__()
        self.objectives, self.weights = nn.ModuleList(objectives), tuple(weights)
        self.reads_all_items = any(each.reads_all_items for each in objectives)

    def forward(self, inputs: LossInputs) -> Tensor:
        losses = [weight * of(inputs) for of, weight in zip(self.objectives, self.weights, strict=True)]
        return torch.stack(losses).sum()
