"""From the encoder's hidden states to a score for every item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import normalize

from transformers4recsys.errors import InputError
from transformers4recsys.products import Linear
from transformers4recsys.row_shards import RowShards, normal_table
from transformers4recsys.settings import check, choose, setting

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "none": nn.Identity}
SCORES = ("dot", "cosine")


@dataclass(frozen=True)
class ScorerSettings:
    """Scores: from hidden states to a score for every item"""

    tf_out_activation: str = setting(
        "relu",
        "after the output projection; none: hidden states score items as they are, projected only to another width",
        choices=lambda: ACTIVATIONS,
        if_changed="refuse",
    )
    score: str = setting(
        "dot",
        "product of hidden state and item vector plus the item's bias, or their cosine alone",
        choices=SCORES,
        if_changed="refuse",
    )
    temperature: float = setting(1.0, "scores are divided by it", above=0, if_changed="refuse")
    popularity_shift: bool = setting(
        False,
        "scores follow what was clicked more, or less, on the last day of the training window than on all of it, as "
        "far as that told the clicks of the days so far",
    )
    item_dropout: float = setting(0.0, "dropout on the item vectors that are scored in training", at_least=0, below=1)
    constrained_embeddings: bool = setting(
        False, "one d_model wide table for item inputs and output weights", if_changed="refuse"
    )
    mf_constrained_embeddings: bool = setting(
        False, "score by the item input table, at its own width, plus a bias", if_changed="refuse"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.constrained_embeddings and self.mf_constrained_embeddings:
            raise InputError("`constrained_embeddings` and `mf_constrained_embeddings` exclude each other; choose one")

    @property
    def is_tied(self) -> bool:
        """Whether the item's input table holds the output weights too."""
        return self.constrained_embeddings or self.mf_constrained_embeddings


class ItemScorer(nn.Module):
    """Projects hidden states to the item table's width; holds the bias, and the table unless it is tied.

    Padding (item 0) has a bias of -inf: it takes no share of a softmax and is never recommended. The bias of a cosine
    stays 0 elsewhere. With `shards`, table and bias are the part of this process.
    """

    def __init__(
        self,
        hidden_width: int,
        settings: ScorerSettings = ScorerSettings(),
        *,
        num_items: int,
        table_width: int,
        initializer_range: float = 0.02,
        shards: RowShards | None = None,
    ):
        super().__init__()
        activation = choose(ACTIVATIONS, settings.tf_out_activation, "tf_out_activation")
        is_projected = settings.tf_out_activation != "none" or hidden_width != table_width
        linear = Linear(hidden_width, table_width) if is_projected else nn.Identity()
        self.projection = nn.Sequential(linear, activation())
        self.is_cosine, self.temperature = settings.score == "cosine", settings.temperature
        self.item_dropout = nn.Dropout(settings.item_dropout)
        self.table = (
            None
            if settings.is_tied
            else nn.Parameter(normal_table(num_items, table_width, shards).mul_(initializer_range))
        )
        # A column: its rows can have sparse gradients, as those of the table.
        num_rows = shards.num_rows if shards else num_items
        self.item_bias = nn.Parameter(torch.zeros(num_rows, 1), requires_grad=not self.is_cosine)

    @property
    def bias(self) -> Tensor:
        return without_padding(self.item_bias[:, 0])

    def project(self, hidden_PD: Tensor) -> Tensor:
        """Give the vectors whose products with those of items are scores, (P, E)."""
        hidden_PE = self._scaled(self.projection(hidden_PD))
        return hidden_PE if self.temperature == 1 else hidden_PE / self.temperature

    def vectors(self, weights_KE: Tensor) -> Tensor:
        """Give the vectors of items whose rows of the table these are; those of a whole table are (V, E)."""
        return self._scaled(self.item_dropout(weights_KE))

    def _scaled(self, vectors: Tensor) -> Tensor:
        """Bring vectors to a length of 1, where their cosine is wanted."""
        if not self.is_cosine:
            return vectors
        vectors = upcast(vectors)
        if not (torch.is_grad_enabled() and vectors.requires_grad):
            return normalize(vectors, dim=-1)
        return cast("Tensor", _UnitRows.apply(vectors))  # pyright: ignore[reportUnknownMemberType]


class _UnitRows(torch.autograd.Function):
    """Rows at a length of 1, as normalize() makes them; its own backward takes twice the passes over a table."""

    @staticmethod
    def forward(ctx: FunctionCtx, vectors_KE: Tensor) -> Tensor:
        lengths_K1 = cast("Tensor", vectors_KE.norm(dim=-1, keepdim=True)).clamp_min(1e-12)  # pyright: ignore[reportUnknownMemberType]
        units_KE = vectors_KE / lengths_K1
        ctx.save_for_backward(units_KE, lengths_K1)
        return units_KE

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient_KE: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        units_KE, lengths_K1 = cast("tuple[Tensor, Tensor]", ctx.saved_tensors)  # pyright: ignore
        # What lies along a row changes its length, which is 1 whatever happens.
        along_K1 = (gradient_KE * units_KE).sum(-1, keepdim=True)
        return torch.addcmul(gradient_KE, units_KE, along_K1, value=-1).div_(lengths_K1)


def upcast(scores: Tensor) -> Tensor:
    """Leave half precision: squares and sums of scores do not fit there."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def without_padding(item_bias_V: Tensor) -> Tensor:
    """Set the bias of item 0 to -inf."""
    return item_bias_V.index_fill(0, item_bias_V.new_zeros(1, dtype=torch.long), -torch.inf)
