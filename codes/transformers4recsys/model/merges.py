"""How the features of a position, side by side, become one d_model wide vector.

`widths` are those of the features; `item` is the place of the item's among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from transformers4recsys.errors import InputError
from transformers4recsys.products import Linear


class MlpMerge(nn.Module):
    """Joined features to d_model by one linear layer, normalised before and after."""

    def __init__(self, widths: Sequence[int], d_model: int, *, layer_norm_eps: float, item: int = 0):
        super().__init__()
        self.before = nn.LayerNorm(sum(widths), eps=layer_norm_eps)
        self.linear = Linear(sum(widths), d_model)
        self.after = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, concatenated_NF: Tensor) -> Tensor:
        return self.after(self.linear(self.before(concatenated_NF)))


class AttentionMerge(nn.Module):
    """Joined features to d_model by attention over the features of a position, normalised before and after.

    Each feature gets its own linear layer to d_model and a weight from what it holds there (Bahdanau 2015).
    """

    def __init__(self, widths: Sequence[int], d_model: int, *, layer_norm_eps: float, item: int = 0):
        super().__init__()
        self.widths = list(widths)
        self.before = nn.LayerNorm(sum(widths), eps=layer_norm_eps)
        self.values = nn.ModuleList([Linear(width, d_model) for width in widths])
        self.score = nn.Sequential(Linear(d_model, d_model), nn.Tanh(), Linear(d_model, 1, bias=False))
        self.after = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, concatenated_NF: Tensor) -> Tensor:
        columns = self.before(concatenated_NF).split(self.widths, dim=-1)
        values_NCD = torch.stack([of(column) for of, column in zip(self.values, columns, strict=True)], dim=1)
        weights_NC1 = self.score(values_NCD).softmax(dim=1)
        return self.after((weights_NC1 * values_NCD).sum(dim=1))


class ElementwiseMerge(nn.Module):
    """The item's vector scaled by all other features: item * (1 + their sum), place by place (Beutel 2018).

    Every feature first goes through a linear layer to d_model of its own; the result is normalised.
    """

    def __init__(self, widths: Sequence[int], d_model: int, *, layer_norm_eps: float, item: int = 0):
        super().__init__()
        self.widths, self.item = list(widths), item
        self.values = nn.ModuleList([Linear(width, d_model) for width in widths])
        self.after = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, concatenated_NF: Tensor) -> Tensor:
        columns = torch.split(concatenated_NF, self.widths, dim=-1)
        values_CND = [of(column) for of, column in zip(self.values, columns, strict=True)]
        item_ND = values_CND.pop(self.item)
        return self.after(item_ND * (1 + sum(values_CND)))


def no_merge(widths: Sequence[int], d_model: int, *, layer_norm_eps: float, item: int = 0) -> nn.Module:
    """Take the vector of the one feature as it is."""
    if list(widths) != [d_model]:
        raise InputError(
            f"`inp_merge` none takes one feature that is `d_model` {d_model} wide, and here are widths "
            f"{', '.join(map(str, widths))}: give the item's table that width (`constrained_embeddings`, or "
            "`item_embedding_dim`), leave other columns out of the feature config, or choose another `inp_merge`"
        )
    return nn.Identity()


MERGES: dict[str, Callable[..., nn.Module]] = {
    "mlp": MlpMerge,
    "attn": AttentionMerge,
    "elementwise": ElementwiseMerge,
    "none": no_merge,
}
