"""How unlike the items of one list are: the mean distance of two of them, by category or by vector.

Letters as everywhere; `K` is the length of a list, `R` rows at a time, `W` the width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

INTRA_LIST_DIVERSITY, CATEGORY_DIVERSITY = IN_LISTS = ("intra_list_diversity", "category_diversity")
# Lists that are looked at together.
ROWS_AT_A_TIME = 1_024

# Of lists (R, K): the sum of distances over all pairs of known items, and how many these items are, (R,) each.
Distances = Callable[[Tensor], tuple[Tensor, Tensor]]


def distances(
    names: Sequence[str], *, categories: Mapping[str, Tensor], vectors_VW: Tensor | None
) -> dict[str, Distances]:
    """Give what measures the lists, by the name of its number; each category has a number of its own."""
    found: dict[str, Distances] = {}
    if INTRA_LIST_DIVERSITY in names and vectors_VW is not None:
        found[INTRA_LIST_DIVERSITY] = between_vectors(vectors_VW)
    if CATEGORY_DIVERSITY in names:
        found |= {f"{name}_diversity": between_categories(codes_V) for name, codes_V in categories.items()}
    return found


def between_vectors(vectors_VW: Tensor) -> Distances:
    """Measure 1 - cosine (Ziegler 2005): the length of the sum of unit vectors says the sum of all their cosines."""
    unit_VW = normalize(vectors_VW, dim=1)

    def measure(items_RK: Tensor) -> tuple[Tensor, Tensor]:
        vectors_RKW = unit_VW[items_RK]
        num_known_R = (vectors_RKW != 0).any(dim=2).sum(1)
        cosines_R = (vectors_RKW.double().sum(1).square().sum(1) - num_known_R) / 2
        return _num_pairs(num_known_R) - cosines_R, num_known_R

    return measure


def between_categories(codes_V: Tensor) -> Distances:
    """Measure 1 where two items are of different categories, else 0: the lists' Gini-Simpson index (Simpson 1949)."""

    def measure(items_RK: Tensor) -> tuple[Tensor, Tensor]:
        codes_RK = codes_V[items_RK]
        num_known_R = (codes_RK != 0).sum(1)
        is_same_RKK = (codes_RK[:, :, None] == codes_RK[:, None]) & (codes_RK != 0)[:, None]
        return _num_pairs(num_known_R) - (is_same_RKK.sum((1, 2)) - num_known_R) / 2, num_known_R

    return measure


def mean_distances(items_PK: Tensor, measure: Distances) -> Tensor:
    """Give the mean over pairs of known items of each list that holds two or more of them, (P,) or fewer, float64."""
    parts: list[Tensor] = []
    for items_RK in torch.split(items_PK, ROWS_AT_A_TIME):
        sums_R, num_known_R = measure(items_RK)
        has_pairs_R = num_known_R > 1
        parts.append(sums_R[has_pairs_R].double() / _num_pairs(num_known_R[has_pairs_R]))
    return torch.cat(parts)


def _num_pairs(num_items_R: Tensor) -> Tensor:
    return num_items_R * (num_items_R - 1) / 2
