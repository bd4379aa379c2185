"""From the columns of a batch to one d_model wide vector a session position."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from transformers4recsys.batch import IS_PAST, Batch, moved
from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ItemContent, module_name
from transformers4recsys.model.merges import MERGES
from transformers4recsys.model.numeric import NumericScale, SoftOneHot
from transformers4recsys.model.unknown import is_replaced
from transformers4recsys.row_shards import RowShards, normal_table, rows_of_all
from transformers4recsys.schema import Feature, Schema
from transformers4recsys.settings import check, choose, setting


def table_width(cardinality: int, multiplier: float = 2.0) -> int:
    """Width of an embedding table nobody chose a width for: ceil(multiplier x cardinality^0.25)."""
    return math.ceil(multiplier * cardinality**0.25)


def with_table_widths(schema: Schema, earlier: Schema | None = None, *, multiplier: float = 2.0) -> Schema:
    """Settle the width of each table, as in an `earlier` schema: what grows stays as wide as it was."""
    known = {feature.table: feature for feature in earlier.columns} if earlier else {}

    def settled(feature: Feature) -> Feature:
        if not feature.table:
            return feature
        before = known.get(feature.table, feature)
        return replace(feature, width=before.width or table_width(before.cardinality, multiplier))

    return replace(
        schema,
        features=tuple(map(settled, schema.features)),
        past={name: settled(feature) for name, feature in schema.past.items()},
        negatives={name: settled(feature) for name, feature in schema.negatives.items()},
    )


ONE_HOT_ITEM = "one-hot item"


OF_SOFT_ONE_HOT: dict[str, Any] = {
    "used_if": attrgetter("numeric_features_soft_one_hot"),
    "unused_because": "`numeric_features_soft_one_hot` is off",
}


@dataclass(frozen=True)
class FeatureSettings:
    """Features: from the columns of a position to one vector"""

    inp_merge: str = setting(
        "mlp",
        "how concatenated features become d_model; none: one feature stays as it is",
        choices=lambda: MERGES,
        if_changed="refuse",
    )
    use_ohe_item_ids_inputs: bool = setting(False, "one-hot item ids as input", if_changed="refuse")
    input_dropout: float | None = setting(
        None,
        "dropout on the vectors that the encoder reads; without it that of dropout, which the encoder may apply there "
        "once more (gpt2, sasrec, ligr, core)",
        at_least=0,
        below=1,
    )
    item_embedding_dim: int | None = setting(
        None, "width of the item's input table; without it from the number of items", at_least=1, if_changed="refuse"
    )
    embedding_dim_from_cardinality_multiplier: float = setting(
        2.0,
        "width of a table without one of its own: so many fourth roots of its number of values",
        above=0,
        if_changed="refuse",
    )
    item_id_embeddings_init_std: float | None = setting(
        None, "standard deviation of first weights of item tables; without it initializer_range", at_least=0
    )
    other_embeddings_init_std: float | None = setting(None, "the same of the tables of other columns", at_least=0)
    layer_norm_featurewise: bool = setting(
        False, "normalise the vector of each feature before they are merged", if_changed="refuse"
    )
    numeric_features_soft_one_hot: bool = setting(
        False, "each number becomes a learned mixture of vectors, in place of itself", if_changed="refuse"
    )
    numeric_features_soft_one_hot_encoding_num_embeddings: int = setting(
        10,
        "vectors that are mixed, for each numeric column",
        at_least=2,
        **OF_SOFT_ONE_HOT,
        if_changed="refuse",
    )
    numeric_features_project_to_embedding_dim: int = setting(
        16,
        "width of the mixture",
        at_least=1,
        **OF_SOFT_ONE_HOT,
        if_changed="refuse",
    )
    stochastic_shared_embeddings_replacement_prob: float = setting(
        0.0,
        "share of ids that are replaced in training by those of other positions of the batch (Wu 2019)",
        at_least=0,
        below=1,
    )
    unknown_share: float = setting(
        0.0,
        "share of rare values that training shows as unknown, so that a value which is new later means something",
        at_least=0,
        below=1,
        if_changed="refuse",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.use_ohe_item_ids_inputs and self.item_embedding_dim:
            raise InputError(
                "`use_ohe_item_ids_inputs` and `item_embedding_dim` exclude each other: one-hot items are as wide as "
                "`d_model`; leave one out"
            )

    def item_std(self, initializer_range: float) -> float:
        """The standard deviation of first weights of item tables."""
        given = self.item_id_embeddings_init_std
        return initializer_range if given is None else given

    def other_std(self, initializer_range: float) -> float:
        """The standard deviation of first weights of the other tables."""
        given = self.other_embeddings_init_std
        return initializer_range if given is None else given


class FeatureEmbedder(nn.Module):
    """Looks up categorical columns, scales numeric ones, joins all and merges them.

    Only real positions are computed: N of them, not B x L. `item_width` overrides the width of the item's table, as
    scoring by that table needs. `dropout` and `initializer_range` hold where the settings say nothing. With
    `use_ohe_item_ids_inputs` the item is read as a one-hot vector through a linear layer to d_model, whose weights are
    looked up; no other column shares them. `content` is what is known of items, where a model has it. `shards` are
    which rows of the item table are here, where processes share it out.
    """

    def __init__(
        self,
        schema: Schema,
        settings: FeatureSettings = FeatureSettings(),
        *,
        d_model: int,
        item_width: int | None = None,
        dropout: float = 0.0,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        shards: RowShards | None = None,
    ):
        super().__init__()
        self.shards = shards
        self.categorical, self.numeric, self.item = schema.categorical, schema.numeric, schema.item_id
        self.is_one_hot_item, self.unknown_share = settings.use_ohe_item_ids_inputs, settings.unknown_share
        self.tables = nn.ModuleDict()
        if self.is_one_hot_item:
            self.tables[ONE_HOT_ITEM] = nn.Embedding(self.item.cardinality, d_model)
            nn.init.normal_(self.item_table.weight, std=settings.item_std(initializer_range))
        for feature in self.categorical:
            if self._key(feature) not in self.tables:
                is_items = feature.table == self.item.table
                std = settings.item_std(initializer_range) if is_items else settings.other_std(initializer_range)
                width = item_width or settings.item_embedding_dim if is_items else None
                self.tables[self._key(feature)] = self._table(feature, width, std, shards if is_items else None)
        self.scale = NumericScale(len(self.numeric)) if self.numeric else None
        self.soft_one_hot = self._soft_one_hot(settings, settings.other_std(initializer_range))
        self.widths = [self.table_of(feature).embedding_dim for feature in self.categorical]
        width_of_number = settings.numeric_features_project_to_embedding_dim if self.soft_one_hot else 1
        self.widths += [width_of_number] * len(self.numeric)
        # A number alone is not normalised: nothing of it would be left.
        self.norms = nn.ModuleList(
            [nn.LayerNorm(width, eps=layer_norm_eps) if width > 1 else nn.Identity() for width in self.widths]
            if settings.layer_norm_featurewise
            else []
        )
        self.merge = choose(MERGES, settings.inp_merge, "inp_merge")(
            self.widths, d_model, layer_norm_eps=layer_norm_eps, item=self.categorical.index(self.item)
        )
        self.replaced_share = settings.stochastic_shared_embeddings_replacement_prob
        # Positions of the past hold nothing of these columns.
        self.without_past = [feature for feature in self.numeric if schema.past and not schema.past_of(feature)]
        self.dropout = nn.Dropout(dropout if settings.input_dropout is None else settings.input_dropout)
        self.d_model = d_model
        self.content: ItemContent | None = None
        if self.unknown_share:
            self.counts = self._with_unknown_rows()

    def _with_unknown_rows(self) -> nn.Module:
        """Let row 0 of each table be trained, as it stands for what is not known; give counts of ids."""
        counts = nn.Module()
        for name, table in self.tables.items():
            assert type(table) is nn.Embedding
            table.padding_idx = None
            counts.register_buffer(name, torch.zeros(table.num_embeddings, dtype=torch.long))
        return counts

    def _soft_one_hot(self, settings: FeatureSettings, std: float) -> SoftOneHot | None:
        if not (self.numeric and settings.numeric_features_soft_one_hot):
            return None
        num_embeddings = settings.numeric_features_soft_one_hot_encoding_num_embeddings
        return SoftOneHot(
            len(self.numeric), num_embeddings, settings.numeric_features_project_to_embedding_dim, std=std
        )

    @staticmethod
    def _table(feature: Feature, width: int | None, std: float, shards: RowShards | None) -> nn.Embedding:
        width = width or feature.width or table_width(feature.cardinality)
        # Drawn for nothing, as nn.Embedding does: whatever follows from a seed stays what it was.
        normal_table(feature.cardinality, width, shards)
        weight_VE = normal_table(feature.cardinality, width, shards, std=std)
        weight_VE[0].zero_()
        return nn.Embedding.from_pretrained(weight_VE, freeze=False, padding_idx=0)  # pyright: ignore

    def table_of(self, feature: Feature) -> nn.Embedding:
        table = self.tables[self._key(feature)]
        assert type(table) is nn.Embedding
        return table

    def _key(self, feature: Feature) -> str:
        if self.is_one_hot_item and feature == self.item:
            return ONE_HOT_ITEM
        # A module may not be called `items`, nor have a dot in its name; a column may.
        return f"table {module_name(feature.table)}"

    @property
    def item_table(self) -> nn.Embedding:
        return self.table_of(self.item)

    def forward(self, batch: Batch) -> Tensor:
        """Embed every real position of the batch, (N, d_model)."""
        columns = [self._embedded(feature, self._ids(batch, feature)) for feature in self.categorical]
        if self.scale is not None:
            numbers_NC = self._numbers(batch, self.scale)
            columns.append(self.soft_one_hot(numbers_NC) if self.soft_one_hot is not None else numbers_NC)
        joined_NF = torch.cat(columns, dim=-1)
        if len(self.norms):
            parts = torch.split(joined_NF, self.widths, dim=-1)
            joined_NF = torch.cat([norm(part) for norm, part in zip(self.norms, parts, strict=True)], dim=-1)
        return self.dropout(self.merge(joined_NF))

    def _ids(self, batch: Batch, feature: Feature) -> Tensor:
        """Give the ids of a column, (N,); in training some are those of other positions, drawn for each column."""
        ids_N = batch.columns[feature.name].values
        if not self.training or not self.replaced_share:
            return ids_N
        is_replaced_N = torch.rand(ids_N.shape, device=ids_N.device) < self.replaced_share
        return ids_N[torch.randint_like(ids_N, max(len(ids_N), 1))].where(is_replaced_N, ids_N)

    def _embedded(self, feature: Feature, ids_N: Tensor) -> Tensor:
        """Look up a categorical column, (N, width); the content of the item is added to its row."""
        table = self.table_of(feature)
        if self.shards is not None and table is self.item_table:
            return rows_of_all(ids_N, table.weight, self.shards, sparse=table.sparse)
        rows_NE = table(self._as_known(feature, ids_N))
        return rows_NE + self.content.input_rows(ids_N) if self.content and feature == self.item else rows_NE

    def _as_known(self, feature: Feature, ids_N: Tensor) -> Tensor:
        """Show a share of the rare values as unknown in training, and count what was met."""
        if not (self.unknown_share and self.training):
            return ids_N
        counts_V = self.counts.get_buffer(self._key(feature))
        is_unknown_N = is_replaced(counts_V[ids_N], self.unknown_share)
        counts_V.index_add_(0, ids_N, torch.ones_like(ids_N))
        return ids_N.masked_fill(is_unknown_N, 0)

    def _numbers(self, batch: Batch, scale: NumericScale) -> Tensor:
        """Scale the numeric columns of every real position, (N, C)."""
        values_NC = torch.stack([batch.columns[feature.name].values.float() for feature in self.numeric], dim=-1)
        scaled_NC = scale(values_NC)
        if self.without_past:
            has_value_C = torch.tensor([feature not in self.without_past for feature in self.numeric])
            is_past_N1 = batch.columns[IS_PAST].values[:, None]
            scaled_NC = scaled_NC.where(moved(has_value_C, scaled_NC.device) | ~is_past_N1, 0.0)
        return scaled_NC
