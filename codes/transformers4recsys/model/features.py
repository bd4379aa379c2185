"""From the columns of a batch to one d_model wide vector a session position."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from transformers4recsys.batch import Batch
from transformers4recsys.schema import Feature, Schema


def table_width(cardinality: int) -> int:
    """Width of an embedding table nobody chose a width for: ceil(2 x cardinality^0.25)."""
    return math.ceil(2 * cardinality**0.25)


class MlpMerge(nn.Module):
    """Joined features to d_model by one linear layer, normalised before and after."""

    def __init__(self, widths: Sequence[int], d_model: int, *, layer_norm_eps: float):
        super().__init__()
        self.before = nn.LayerNorm(sum(widths), eps=layer_norm_eps)
        self.linear = nn.Linear(sum(widths), d_model)
        self.after = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, concatenated_NF: Tensor) -> Tensor:
        return self.after(self.linear(self.before(concatenated_NF)))


class AttentionMerge(nn.Module):
    """Joined features to d_model by attention over the features of a position, normalised before and after.

    Each feature gets its own linear layer to d_model and a weight from what it holds there (Bahdanau 2015).
    """

    def __init__(self, widths: Sequence[int], d_model: int, *, layer_norm_eps: float):
        super().__init__()
        self.widths = list(widths)
        self.before = nn.LayerNorm(sum(widths), eps=layer_norm_eps)
        self.values = nn.ModuleList([nn.Linear(width, d_model) for width in widths])
        self.score = nn.Sequential(nn.Linear(d_model, d_model), nn.Tanh(), nn.Linear(d_model, 1, bias=False))
        self.after = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, concatenated_NF: Tensor) -> Tensor:
        columns = self.before(concatenated_NF).split(self.widths, dim=-1)
        values_NCD = torch.stack([of(column) for of, column in zip(self.values, columns, strict=True)], dim=1)
        weights_NC1 = self.score(values_NCD).softmax(dim=1)
        return self.after((weights_NC1 * values_NCD).sum(dim=1))


MERGES: dict[str, Callable[..., nn.Module]] = {"mlp": MlpMerge, "attn": AttentionMerge}

ONE_HOT_ITEM = "one-hot item"


class FeatureEmbedder(nn.Module):
    """Looks up categorical columns, takes numeric ones as they are, joins all and merges them.

    Only real positions are computed: N of them, not B x L. `item_width` overrides the width of the
    item's table, as scoring by that table needs. With `is_one_hot_item` the item is read as a one-hot vector
    through a linear layer to d_model, whose weights are looked up; no other column shares them.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        d_model: int,
        merge: Callable[..., nn.Module] = MlpMerge,
        item_width: int | None = None,
        is_one_hot_item: bool = False,
        dropout: float = 0.0,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
    ):
        super().__init__()
        self.categorical, self.numeric, self.item = schema.categorical, schema.numeric, schema.item_id
        self.is_one_hot_item = is_one_hot_item
        self.tables = nn.ModuleDict()
        if is_one_hot_item:
            self.tables[ONE_HOT_ITEM] = nn.Embedding(self.item.cardinality, d_model)
            nn.init.normal_(self.item_table.weight, std=initializer_range)
        for feature in self.categorical:
            if self._key(feature) not in self.tables:
                own = item_width if feature.table == self.item.table else None
                self.tables[self._key(feature)] = self._table(feature, own, initializer_range)
        widths = [self.table_of(feature).embedding_dim for feature in self.categorical] + [1] * len(self.numeric)
        self.merge = merge(widths, d_model, layer_norm_eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.d_model = d_model

    @staticmethod
    def _table(feature: Feature, width: int | None, initializer_range: float) -> nn.Embedding:
        table = nn.Embedding(feature.cardinality, width or table_width(feature.cardinality), padding_idx=0)
        nn.init.normal_(table.weight, std=initializer_range)
        with torch.no_grad():
            table.weight[0].zero_()
        return table

    def table_of(self, feature: Feature) -> nn.Embedding:
        table = self.tables[self._key(feature)]
        assert type(table) is nn.Embedding
        return table

    def _key(self, feature: Feature) -> str:
        if self.is_one_hot_item and feature == self.item:
            return ONE_HOT_ITEM
        # A module may not be called `items`, nor have a dot in its name; a column may.
        return f"table {feature.table}".replace("%", "%25").replace(".", "%2E")

    @property
    def item_table(self) -> nn.Embedding:
        return self.table_of(self.item)

    def forward(self, batch: Batch) -> Tensor:
        """Embed every real position of the batch, (N, d_model)."""
        columns = [self.table_of(feature)(batch.columns[feature.name].values) for feature in self.categorical]
        columns += [batch.columns[feature.name].values.float()[:, None] for feature in self.numeric]
        return self.dropout(self.merge(torch.cat(columns, dim=-1)))
