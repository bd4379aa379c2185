"""Tables of a smaller vocabulary in a model of a larger one: old rows keep their bits, new ones resemble others.

`R` rows of a saved table, `V` rows of the larger one, `G` groups of items that share a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from transformers4recsys.settings import check, setting

ITEM_COUNTS = "item_counts"
# Weights with a row for each id; whatever else differs in size is another model.
TABLES = (
    "features.tables.",
    "features.counts.",
    "features.content.",
    "scorer.table",
    "scorer.item_bias",
    ITEM_COUNTS,
    "session_counts",
)
POLICIES = ("mean", "features", "random")


@dataclass(frozen=True)
class GrowthSettings:
    """Growth: a run that goes on over a larger vocabulary"""

    new_items: str = setting(
        "mean",
        "where a new item's vector begins: around the mean of all known items, or of those of the same category, "
        "brand and so on (features), or at random",
        choices=POLICIES,
    )

    def __post_init__(self) -> None:
        check(self)


def grown_weights(
    saved: Mapping[str, Tensor], own: Mapping[str, Tensor], *, policy: str = "mean", groups: Sequence[Tensor] = ()
) -> dict[str, Tensor]:
    """Give the saved weights, each table as long as the model's own one of the same name.

    A new row is a fresh one of the model, moved to the mean of what it resembles; counts of new items are 0. `groups`
    say for each item id, (V,), which items share a value, -1 where it is not known; they are used by `features`.
    """
    counts_R = saved.get(ITEM_COUNTS)
    grown = dict(saved)
    for name, table_R in saved.items():
        if name in own and has_more_rows(name, own[name], table_R):
            # A table whose rows are items is told by its length; what never occurred has not been trained.
            is_of_items = counts_R is not None and len(table_R) == len(counts_R)
            is_known_R = counts_R > 0 if is_of_items and counts_R is not None else torch.arange(len(table_R)) > 0
            grown[name] = _grown(table_R, own[name], is_known_R, policy, groups if is_of_items else ())
    return grown


def has_more_rows(name: str, own: Tensor, saved: Tensor) -> bool:
    """Say whether the weights of this name are a table of ids, and `own` is the same one with more rows."""
    is_table = name.startswith(TABLES) and own.ndim > 0 and own.shape[1:] == saved.shape[1:]
    return is_table and own.shape[0] > saved.shape[0]


def with_zero_rows(values: Tensor, num_rows: int) -> Tensor:
    """Add rows of 0 up to `num_rows`: the moments of rows that have not been trained."""
    return torch.cat([values, values.new_zeros(num_rows - len(values), *values.shape[1:])])


def _grown(table_R: Tensor, own: Tensor, is_known_R: Tensor, policy: str, groups: Sequence[Tensor]) -> Tensor:
    if not table_R.is_floating_point():
        return with_zero_rows(table_R, len(own))
    fresh = own[len(table_R) :].to(table_R.device, copy=True)
    if policy != "random" and is_known_R.any():
        fresh += _centers(table_R, is_known_R, len(own), groups if policy == "features" else ())
    return torch.cat([table_R, fresh])


def _centers(table_R: Tensor, is_known_R: Tensor, num_rows: int, groups: Sequence[Tensor]) -> Tensor:
    """Give the mean of what each new row resembles: over the groups in which there are known rows, else of all."""
    known = table_R[is_known_R]
    mean_of_all = known.mean(0, keepdim=True)
    num_new = num_rows - len(table_R)
    sums, num_found = torch.zeros_like(mean_of_all).repeat(num_new, *[1] * (table_R.ndim - 1)), torch.zeros(num_new)
    for group_V in groups:
        means_G, sizes_G = _means_by_group(known, group_V[: len(table_R)][is_known_R], int(group_V.max()) + 1)
        of_new = group_V[len(table_R) :]
        is_found = (of_new >= 0) & (sizes_G[of_new.clamp(min=0)] > 0)
        sums[is_found] += means_G[of_new[is_found]]
        num_found += is_found
    is_found = num_found > 0
    centers = mean_of_all.repeat(num_new, *[1] * (table_R.ndim - 1))
    centers[is_found] = sums[is_found] / num_found[is_found].view(-1, *[1] * (table_R.ndim - 1))
    return centers


def _means_by_group(rows: Tensor, group: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Average rows by group, (G, ...), and count them, (G,)."""
    has_group = group >= 0
    rows, group = rows[has_group], group[has_group]
    sums_G = rows.new_zeros(max(num_groups, 1), *rows.shape[1:]).index_add_(0, group, rows)
    sizes_G = torch.bincount(group, minlength=max(num_groups, 1))
    return sums_G / sizes_G.clamp(min=1).view(-1, *[1] * (rows.ndim - 1)), sizes_G


def groups_of(item_table: pa.Table, num_items: int) -> list[Tensor]:
    """Number the values of each column of the item table but ids and measures, (num_items,) each; -1 where unknown."""
    ids = torch.tensor(item_table.column("id").to_pylist())
    groups: list[Tensor] = []
    for name in item_table.column_names:
        kind = item_table.schema.field(name).type
        if name in ("raw", "id") or pa.types.is_floating(kind) or pa.types.is_temporal(kind):
            continue
        codes = item_table.column(name).combine_chunks().dictionary_encode().indices.fill_null(-1)
        group_V = torch.full((num_items,), -1)
        group_V[ids] = torch.tensor(codes.to_pylist())
        groups.append(group_V)
    return groups
