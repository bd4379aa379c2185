"""What is known of an item apart from its clicks, as a row that is added to its embedding and its output weights.

`F` numbers of an item: embedded categories, numbers and vector side by side; `W` width of a vector; otherwise the
letters of the whole program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import torch
from torch import Tensor, nn

from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, setting

# Of the names of weights: what was read from files, which no other weights replace.
DATA = "features.content.data."


@dataclass(frozen=True)
class ContentSettings:
    """Content of items: what lets an item without a click be recommended"""

    item_features: tuple[str, ...] | None = setting(
        None,
        "columns of the item table, such as category brand price, that give each item a part of its vectors",
        if_changed="refuse",
    )
    item_vectors: str | None = setting(
        None,
        "parquet of raw item ids and lists of floats, such as embedded titles; a part of each item's vectors",
        if_changed="ignore",
    )
    freeze_item_vectors: bool = setting(
        False,
        "keep the vectors of the file as they are, and train their projection alone",
        used_if=lambda settings: settings.item_vectors is not None,
        unused_because="there are no `item_vectors`",
        if_changed="refuse",
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_on(self) -> bool:
        return bool(self.item_features or self.item_vectors)


@dataclass(frozen=True)
class ItemData:
    """Content by item id: `codes` (V,) of categorical columns, 0 where unknown; `numbers` (V,) of numeric ones.

    Numbers are standardised with `scales`, (2,) of mean and standard deviation each, and 0 where unknown. `vectors`
    (V, W) are 0 where there is none.
    """

    codes: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    numbers: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    scales: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    vectors: Tensor | None = None

    @classmethod
    def of_weights(cls, weights: Mapping[str, Tensor]) -> ItemData | None:
        """Find the content in the weights of a model; None where there is none."""
        found: dict[str, dict[str, Tensor]] = {"code": {}, "number": {}, "scale": {}, "vectors.weight": {}}
        for name in weights:
            if name.startswith(DATA):
                kind, _, column = name.removeprefix(DATA).partition(" ")
                found[kind][unquote(column)] = weights[name]
        codes, numbers, scales, vectors = found.values()
        return cls(codes, numbers, scales, vectors.get("")) if codes or numbers or vectors else None


class ItemContent(nn.Module):
    """A linear network from the content of an item to what is added to its rows.

    `tables` embed the codes of columns that the model reads as well; other columns get tables of their own, as wide as
    `own_widths` says. Where one table is for inputs and outputs (`input_width` is None), so is the row.
    """

    def __init__(
        self,
        data: ItemData,
        tables: Mapping[str, nn.Embedding],
        own_widths: Mapping[str, int],
        *,
        input_width: int | None,
        output_width: int,
        is_frozen: bool = False,
        initializer_range: float = 0.02,
    ):
        super().__init__()
        self.code_columns, self.number_columns = tuple(data.codes), tuple(data.numbers)
        self.data = nn.Module()
        for kind, columns in (("code", data.codes), ("number", data.numbers), ("scale", data.scales)):
            for name, values in columns.items():
                self.data.register_buffer(_name(kind, name), values.clone())
        if data.vectors is not None:
            # A copy: training moves them.
            vectors = nn.Embedding(len(data.vectors), data.vectors.shape[1], _weight=data.vectors.clone())
            vectors.weight.requires_grad_(not is_frozen)
            self.data.add_module("vectors", vectors)
        self.tables = nn.ModuleDict()
        for name, width in own_widths.items():
            self.tables[_name("table", name)] = table = nn.Embedding(
                int(data.codes[name].max()) + 1, width, padding_idx=0
            )
            nn.init.normal_(table.weight, std=initializer_range)
            with torch.no_grad():
                table.weight[0].zero_()
        # Not registered: they are weights of the model's own features.
        self._shared = dict(tables)
        num_inputs = sum(self._table_of(name).embedding_dim for name in self.code_columns) + len(self.number_columns)
        num_inputs += 0 if data.vectors is None else data.vectors.shape[1]
        self.to_output = _projection(num_inputs, output_width, initializer_range)
        self.to_input = None if input_width is None else _projection(num_inputs, input_width, initializer_range)

    @property
    def vectors(self) -> nn.Embedding | None:
        vectors = dict(self.data.named_children()).get("vectors")
        assert vectors is None or type(vectors) is nn.Embedding
        return vectors

    def _table_of(self, column: str) -> nn.Embedding:
        table = self._shared.get(column) or self.tables[_name("table", column)]
        assert type(table) is nn.Embedding
        return table

    def _values_of(self, kind: str, column: str) -> Tensor:
        return self.data.get_buffer(_name(kind, column))

    def of(self, ids: Tensor) -> Tensor:
        """Give the content of items, (..., F); of ids of no item it is 0."""
        parts = [self._table_of(name)(self._values_of("code", name)[ids]) for name in self.code_columns]
        parts += [self._values_of("number", name)[ids][..., None] for name in self.number_columns]
        if self.vectors is not None:
            parts.append(self.vectors(ids))
        return torch.cat(parts, dim=-1)

    def output_rows(self, ids: Tensor) -> Tensor:
        """Give what is added to the output weights of items, (..., E)."""
        return self.to_output(self.of(ids))

    def input_rows(self, ids: Tensor) -> Tensor:
        """Give what is added to the embeddings of items, (..., E)."""
        return (self.to_input or self.to_output)(self.of(ids))

    @property
    def is_known_V(self) -> Tensor:
        """Whether anything is known of each item, (V,)."""
        known = [self._values_of("code", name) != 0 for name in self.code_columns]
        known += [self._values_of("number", name) != 0 for name in self.number_columns]
        if self.vectors is not None:
            known.append((self.vectors.weight != 0).any(dim=1))
        return torch.stack(known).any(dim=0)


def with_row_of_unseen(rows_VE: Tensor, item_counts_V: Tensor, *, has_unknown: bool) -> Tensor:
    """Give items never seen one row, as theirs were never trained: the unknown one, or the mean of the seen, (V, E)."""
    is_seen_V1 = (item_counts_V > 0)[:, None]
    num_seen = is_seen_V1.sum()
    row_E = rows_VE[0] if has_unknown else (rows_VE * is_seen_V1).sum(0) / num_seen.clamp(min=1)
    return torch.where(is_seen_V1 | (num_seen == 0), rows_VE, row_E)


def require_data(settings: ContentSettings, data: ItemData | None) -> None:
    """Raise InputError if the settings ask for content and none was given."""
    if settings.is_on and data is None:
        raise InputError("`item_features` and `item_vectors`: a model with content is built from `item_data`")


def module_name(column: str) -> str:
    """Spell a column's name so that a module may have it in its own: without dots."""
    return column.replace("%", "%25").replace(".", "%2E")


def _name(kind: str, column: str) -> str:
    return f"{kind} {module_name(column)}"


def _projection(num_inputs: int, width: int, initializer_range: float) -> nn.Linear:
    projection = nn.Linear(num_inputs, width, bias=False)
    nn.init.normal_(projection.weight, std=initializer_range * num_inputs**-0.5)
    return projection
