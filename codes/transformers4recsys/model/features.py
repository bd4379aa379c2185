"""From the columns of a batch to one d_model wide vector a session position."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from transformers4recsys.batch import IS_PAST, Batch
from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ItemContent, module_name
from transformers4recsys.model.unknown import is_replaced
from transformers4recsys.schema import Feature, Schema
from transformers4recsys.settings import check, choose, setting


def table_width(cardinality: int) -> int:
    """Width of an embedding table nobody chose a width for: ceil(2 x cardinality^0.25)."""
    return math.ceil(2 * cardinality**0.25)


def with_table_widths(schema: Schema, earlier: Schema | None = None) -> Schema:
    """Settle the width of each table, as in an `earlier` schema: what grows stays as wide as it was."""
    known = {feature.table: feature for feature in earlier.columns} if earlier else {}

    def settled(feature: Feature) -> Feature:
        if not feature.table:
            return feature
        before = known.get(feature.table, feature)
        return replace(feature, width=before.width or table_width(before.cardinality))

    return replace(
        schema,
        features=tuple(map(settled, schema.features)),
        past={name: settled(feature) for name, feature in schema.past.items()},
        negatives={name: settled(feature) for name, feature in schema.negatives.items()},
    )


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


class NumericScale(nn.Module):
    """Brings numeric columns to a mean of about 0 and a deviation of about 1: none may drown the others when merged.

    Each column has a mean and a standard deviation of its own, which are part of the weights: those of the first
    training day on which it varies. A column that comes near enough to both already is taken as it is.
    """

    # Means and deviations up to these need no scale. Small ones are not enlarged: a column that hardly varies on the
    # first day, such as the day of the week, would be far out of its scale on the next one.
    LARGEST_MEAN, LARGEST_STD = 3.0, 3.0
    # Deviations below this share of the mean are rounding of 32 bits.
    ROUNDING = 1e-6

    def __init__(self, num_columns: int):
        super().__init__()
        self.mean_C: Tensor
        self.std_C: Tensor
        self.is_fitted_C: Tensor
        self.register_buffer("mean_C", torch.zeros(num_columns))
        self.register_buffer("std_C", torch.ones(num_columns))
        self.register_buffer("is_fitted_C", torch.zeros(num_columns, dtype=torch.bool))

    def fit(self, means: Sequence[float], stds: Sequence[float]) -> None:
        """Take the scale of each column that has none yet from its mean and standard deviation."""
        for column, (mean, std) in enumerate(zip(means, stds, strict=True)):
            if self.is_fitted_C[column]:
                continue
            is_constant = std <= self.ROUNDING * abs(mean)
            is_near = abs(mean) <= self.LARGEST_MEAN and std <= self.LARGEST_STD
            self.mean_C[column] = 0.0 if is_near else mean
            # Of a column that does not vary so far the size is known, until it varies.
            self.std_C[column] = 1.0 if is_near else (abs(mean) or 1.0) if is_constant else std
            self.is_fitted_C[column] = not is_constant

    def forward(self, values_NC: Tensor) -> Tensor:
        """Scale the columns, in an order of operations that no finite number overflows."""
        return values_NC / self.std_C - self.mean_C / self.std_C


class NumericMoments:
    """Mean and standard deviation of numeric columns, (C,) float64, over batches (Chan, Golub and LeVeque 1979)."""

    def __init__(self, num_columns: int):
        self.count = 0
        self.mean_C, self._squares_C = torch.zeros(2, num_columns, dtype=torch.float64)

    def add(self, columns: Sequence[Tensor]) -> None:
        """Add the values of C columns, (N,) each."""
        if not columns or not len(columns[0]):
            return
        values_CN = torch.stack([column.double() for column in columns])
        mean_C, number = values_CN.mean(1), values_CN.shape[1]
        apart_C, total = mean_C - self.mean_C, self.count + number
        self._squares_C += (values_CN - mean_C[:, None]).square().sum(1) + apart_C**2 * self.count * number / total
        self.mean_C += apart_C * number / total
        self.count = total

    @property
    def std_C(self) -> Tensor:
        return (self._squares_C / max(self.count, 1)).sqrt()


def no_merge(widths: Sequence[int], d_model: int, *, layer_norm_eps: float) -> nn.Module:
    """Take the vector of the one feature as it is."""
    if list(widths) != [d_model]:
        raise InputError(
            f"`inp_merge` none takes one feature that is `d_model` {d_model} wide, and here are widths "
            f"{', '.join(map(str, widths))}: give the item's table that width (`constrained_embeddings`, or "
            "`item_embedding_dim`), leave other columns out of the feature config, or choose another `inp_merge`"
        )
    return nn.Identity()


MERGES: dict[str, Callable[..., nn.Module]] = {"mlp": MlpMerge, "attn": AttentionMerge, "none": no_merge}

ONE_HOT_ITEM = "one-hot item"


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
        "once more (gpt2, sasrec, ligr)",
        at_least=0,
        below=1,
    )
    item_embedding_dim: int | None = setting(
        None, "width of the item's input table; without it from the number of items", at_least=1, if_changed="refuse"
    )
    item_id_embeddings_init_std: float | None = setting(
        None, "standard deviation of first weights of item tables; without it initializer_range", at_least=0
    )
    other_embeddings_init_std: float | None = setting(None, "the same of the tables of other columns", at_least=0)
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
    looked up; no other column shares them. `content` is what is known of items, where a model has it.
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
    ):
        super().__init__()
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
                self.tables[self._key(feature)] = self._table(feature, width, std)
        if self.unknown_share:
            # Row 0 stands for what is not known, and is trained.
            self.counts = nn.Module()
            for name, table in self.tables.items():
                assert type(table) is nn.Embedding
                table.padding_idx = None
                self.counts.register_buffer(name, torch.zeros(table.num_embeddings, dtype=torch.long))
        widths = [self.table_of(feature).embedding_dim for feature in self.categorical] + [1] * len(self.numeric)
        self.merge = choose(MERGES, settings.inp_merge, "inp_merge")(widths, d_model, layer_norm_eps=layer_norm_eps)
        self.scale = NumericScale(len(self.numeric)) if self.numeric else None
        # Positions of the past hold nothing of these columns.
        self.without_past = [feature for feature in self.numeric if schema.past and not schema.past_of(feature)]
        self.dropout = nn.Dropout(dropout if settings.input_dropout is None else settings.input_dropout)
        self.d_model = d_model
        self.content: ItemContent | None = None

    @staticmethod
    def _table(feature: Feature, width: int | None, std: float) -> nn.Embedding:
        table = nn.Embedding(
            feature.cardinality, width or feature.width or table_width(feature.cardinality), padding_idx=0
        )
        nn.init.normal_(table.weight, std=std)
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
        return f"table {module_name(feature.table)}"

    @property
    def item_table(self) -> nn.Embedding:
        return self.table_of(self.item)

    def forward(self, batch: Batch) -> Tensor:
        """Embed every real position of the batch, (N, d_model)."""
        columns = [self._embedded(feature, batch.columns[feature.name].values) for feature in self.categorical]
        if self.scale is not None:
            columns.append(self._numbers(batch, self.scale))
        return self.dropout(self.merge(torch.cat(columns, dim=-1)))

    def _embedded(self, feature: Feature, ids_N: Tensor) -> Tensor:
        """Look up a categorical column, (N, width); the content of the item is added to its row."""
        rows_NE = self.table_of(feature)(self._as_known(feature, ids_N))
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
            scaled_NC = scaled_NC.where(has_value_C.to(scaled_NC.device) | ~is_past_N1, 0.0)
        return scaled_NC
