"""Tables of a smaller vocabulary in a model of a larger one: old rows keep their bits, new ones resemble others.

`R` rows of a saved table, `V` rows of the larger one, `G` groups of items that share a value, `N` new items, `W` width
of a vector. Nothing here copies a table of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import normalize

from transformers4recsys.batch import exact_device
from transformers4recsys.row_shards import RowShards
from transformers4recsys.settings import check, setting

ITEM_COUNTS, SESSION_COUNTS, SHIFT = "item_counts", "session_counts", "popularity_shift."
COUNTS_OF_DAYS = f"{SHIFT}last_day", f"{SHIFT}window"
# Weights with a row for each id; whatever else differs in size is another model.
TABLES = (
    "features.tables.",
    "features.counts.",
    "features.content.",
    "scorer.table",
    "scorer.item_bias",
    ITEM_COUNTS,
    SESSION_COUNTS,
    *COUNTS_OF_DAYS,
)
# Rows of a table that are summed up together.
ROWS_AT_A_TIME = 2**16
POLICIES = ("mean", "features", "random")
# Known items whose vectors are most similar to that of a new one, and new items that look for them at a time.
NUM_NEAREST, NEW_AT_A_TIME = 5, 64


@dataclass(frozen=True)
class GrowthSettings:
    """Growth: a run that goes on over a larger vocabulary"""

    new_items: str = setting(
        "mean",
        "where a new item's vector begins: around the mean of all known items, or of those of the same category, "
        "brand and so on and of the nearest `item_vectors` (features), or at random",
        choices=POLICIES,
    )

    def __post_init__(self) -> None:
        check(self)


def place_new_rows(
    table_V: Tensor,
    is_known_R: Tensor,
    *,
    policy: str = "mean",
    groups: Sequence[Tensor] = (),
    shards: RowShards | None = None,
) -> None:
    """Move the rows of `table_V` behind the R saved ones, which are fresh ones of the model, to where they begin.

    That is the mean of what each resembles, of the saved rows that `is_known_R`; counts of new items are 0. `groups`
    say for each row, (V,), which rows share a value, -1 where it is not known; they are used by the policy `features`.
    With `shards`, the table is the part of this process, and all else is as for the whole one; all processes call it.
    """
    is_any_known, sizes = bool(is_known_R.any()), [int(group_V.max()) + 1 for group_V in groups]
    if shards is not None:
        is_known_R, groups = shards.part_of(is_known_R), [shards.part_of(group_V) for group_V in groups]
    new_rows = table_V[len(is_known_R) :]
    if not table_V.is_floating_point():
        new_rows.zero_()
    elif policy != "random" and is_any_known:
        some_groups = zip(groups, sizes, strict=True) if policy == "features" else ()
        new_rows += _centers(table_V, is_known_R, some_groups, shards).to(table_V.device)


def has_more_rows(name: str, own: Sequence[int], saved: Sequence[int]) -> bool:
    """Say whether weights of this name are a table of ids, and of these shapes `own` is `saved` with more rows."""
    return name.startswith(TABLES) and len(own) == len(saved) > 0 and own[1:] == saved[1:] and own[0] > saved[0]


def _centers(
    table_V: Tensor, is_known_R: Tensor, groups: Iterable[tuple[Tensor, int]], shards: RowShards | None
) -> Tensor:
    """Give the mean of what each new row resembles: over the groups in which there are known rows, else of all.

    Groups come with their numbers of values. The result is on the device where sums of the table are exact.
    """
    num_saved = len(is_known_R)
    num_new = len(table_V) - num_saved
    means, _ = _means_by_group(table_V, is_known_R, torch.zeros(num_saved, dtype=torch.long), 1, shards)
    centers = means.repeat(num_new, *[1] * (table_V.ndim - 1))
    sums, num_found = torch.zeros_like(centers), torch.zeros(num_new, device=centers.device)
    for group_V, num_groups in groups:
        means_G, sizes_G = _means_by_group(table_V, is_known_R, group_V[:num_saved], num_groups, shards)
        of_new = group_V[num_saved:].to(centers.device)
        is_found = (of_new >= 0) & (sizes_G[of_new.clamp(min=0)] > 0)
        sums[is_found] += means_G[of_new[is_found]]
        num_found += is_found
    is_found = num_found > 0
    centers[is_found] = sums[is_found] / num_found[is_found].view(-1, *[1] * (table_V.ndim - 1))
    return centers


def _means_by_group(
    table_V: Tensor, is_known_R: Tensor, group_R: Tensor, num_groups: int, shards: RowShards | None
) -> tuple[Tensor, Tensor]:
    """Average the known rows by group, (G, ...), and count them, (G,); some rows of a large table at a time."""
    device = exact_device(table_V.device)
    sums_G = torch.zeros(max(num_groups, 1), *table_V.shape[1:], dtype=torch.double, device=device)
    sizes_G = torch.zeros(len(sums_G), dtype=torch.long, device=device)
    is_counted_R = is_known_R & (group_R >= 0)
    for places in torch.split(is_counted_R.nonzero()[:, 0], ROWS_AT_A_TIME):
        group = group_R[places].to(device)
        sums_G.index_add_(0, group, table_V[places.to(table_V.device)].to(device).double())
        sizes_G += torch.bincount(group, minlength=len(sums_G))
    if shards is not None:
        sums_G, sizes_G = shards.sum(sums_G), shards.sum(sizes_G)
    return (sums_G / sizes_G.clamp(min=1).view(-1, *[1] * (table_V.ndim - 1))).to(table_V.dtype), sizes_G


def groups_of(item_table: pa.Table, num_items: int) -> list[Tensor]:
    """Number the values of each column of the item table but ids and measures, (num_items,) each; -1 where unknown."""
    ids = torch.tensor(item_table.column("id").to_numpy())
    groups: list[Tensor] = []
    for name in item_table.column_names:
        kind = item_table.schema.field(name).type
        if name in ("raw", "id") or pa.types.is_floating(kind) or pa.types.is_temporal(kind):
            continue
        codes = item_table.column(name).combine_chunks().dictionary_encode().indices.fill_null(-1)
        group_V = torch.full((num_items,), -1)
        group_V[ids] = torch.tensor(codes.to_numpy(), dtype=torch.long)
        groups.append(group_V)
    return groups


def nearest_groups(vectors_VW: Tensor, is_known_R: Tensor) -> list[Tensor]:
    """Group each new item with the known one of the most similar vector, with the second and so on, (V,) each.

    Similar by the cosine. Items are in a group of -1 where they are in none: those without a vector, which is 0 then.
    """
    units_VW = normalize(vectors_VW.float(), dim=1)
    has_vector_V = units_VW.any(1)
    known = (is_known_R & has_vector_V[: len(is_known_R)]).nonzero()[:, 0]
    new = len(is_known_R) + has_vector_V[len(is_known_R) :].nonzero()[:, 0]
    if not len(known) or not len(new):
        return []
    units_KW, k = units_VW[known], min(NUM_NEAREST, len(known))
    places_NK = torch.cat([(units_VW[some] @ units_KW.T).topk(k).indices for some in torch.split(new, NEW_AT_A_TIME)])
    groups: list[Tensor] = []
    for place_N in places_NK.T:
        # Only those that are near to some item are numbered: each group costs a row.
        found, group_N = cast("tuple[Tensor, Tensor]", torch.unique(place_N, return_inverse=True))  # pyright: ignore[reportUnknownMemberType]
        group_V = torch.full((len(vectors_VW),), -1)
        group_V[known[found]], group_V[new] = torch.arange(len(found)), group_N
        groups.append(group_V)
    return groups
