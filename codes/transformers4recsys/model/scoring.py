"""From the encoder's hidden states to a score for every item."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class ItemScorer(nn.Module):
    """Projects hidden states to the item table's width; holds the bias, and the table unless it is tied.

    Padding (item 0) has a bias of -inf: it takes no share of a softmax and is never recommended.
    """

    def __init__(
        self,
        hidden_width: int,
        *,
        num_items: int,
        table_width: int,
        activation: Callable[[], nn.Module],
        is_tied: bool,
        initializer_range: float = 0.02,
    ):
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden_width, table_width), activation())
        self.table = None if is_tied else nn.Parameter(torch.randn(num_items, table_width) * initializer_range)
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
