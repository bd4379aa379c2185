"""From the encoder's hidden states to a score for every item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, choose, setting

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class ScorerSettings:
    """Scores: from hidden states to a score for every item"""

    tf_out_activation: str = setting(
        "relu", "after the output projection", choices=lambda: ACTIVATIONS, if_changed="refuse"
    )
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

    Padding (item 0) has a bias of -inf: it takes no share of a softmax and is never recommended.
    """

    def __init__(
        self,
        hidden_width: int,
        settings: ScorerSettings = ScorerSettings(),
        *,
        num_items: int,
        table_width: int,
        initializer_range: float = 0.02,
    ):
        super().__init__()
        activation = choose(ACTIVATIONS, settings.tf_out_activation, "tf_out_activation")
        self.projection = nn.Sequential(nn.Linear(hidden_width, table_width), activation())
        self.table = None if settings.is_tied else nn.Parameter(torch.randn(num_items, table_width) * initializer_range)
        # A column: its rows can have sparse gradients, as those of the table.
        self.item_bias = nn.Parameter(torch.zeros(num_items, 1))

    @property
    def bias(self) -> Tensor:
        return without_padding(self.item_bias[:, 0])

    def project(self, hidden_PD: Tensor) -> Tensor:
        return self.projection(hidden_PD)


def without_padding(item_bias_V: Tensor) -> Tensor:
    """Set the bias of item 0 to -inf."""
    return item_bias_V.index_fill(0, item_bias_V.new_zeros(1, dtype=torch.long), -torch.inf)
