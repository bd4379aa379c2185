"""Which items serve as negatives: targets of other sessions, items drawn by popularity, negative columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformers4recsys.batch import Jagged, exact_device
from transformers4recsys.settings import check, setting

Sampler = Callable[[Tensor, float], Tensor]


def among_seen(item_counts_V: Tensor, alpha: float) -> Tensor:
    """Weigh items that were seen by popularity^alpha, others by 0; before any was seen, all alike, (V,)."""
    counts_V = _exact_copy(item_counts_V)
    counts_V[0] = 0
    if not counts_V.any():
        return among_all(item_counts_V, 0.0)
    is_unseen_V = counts_V == 0
    return counts_V.pow_(alpha).masked_fill_(is_unseen_V, 0.0)


def among_all(item_counts_V: Tensor, alpha: float) -> Tensor:
    """Weigh every item by (popularity + 1)^alpha: one never seen can be drawn as well, (V,)."""
    weights_V = _exact_copy(item_counts_V).add_(1).pow_(alpha)
    weights_V[0] = 0
    return weights_V


def _exact_copy(counts_V: Tensor) -> Tensor:
    return counts_V.to(exact_device(counts_V.device), torch.double, copy=True)


SAMPLERS: dict[str, Sampler] = {"seen": among_seen, "all": among_all}


def draw(sums_V: Tensor, num: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw item ids with replacement, in proportion to the weights whose running sum this is, (num,)."""
    # torch.multinomial stops at 2^24 items; a search in the running sum does not.
    places = torch.rand(num, generator=generator, device=sums_V.device, dtype=sums_V.dtype) * sums_V[-1]
    # Rounding may reach the very end of the sum: then the last item with a weight is meant.
    last = torch.searchsorted(sums_V, sums_V[-1:])
    return torch.searchsorted(sums_V, places, right=True).minimum(last)


@dataclass(frozen=True)
class StoreSettings:
    """Drawn negatives: how they are drawn"""

    neg_sampling_store_size: int = setting(1_000_000, "ids drawn ahead for extra negatives", at_least=1)
    neg_sampling_alpha: float = setting(0.0, "extra negatives follow popularity to this power")

    def __post_init__(self) -> None:
        check(self)


class NegativeStore(nn.Module):
    """Item ids drawn ahead, `size` at once, and dealt out; drawn anew when used up or when the counts change.

    Processes that count alike draw alike: from the seed, the counts, and how many were drawn since they changed.
    """

    def __init__(self, sampler: Sampler, *, alpha: float, size: int, seed: int = 0):
        super().__init__()
        self.sampler, self.alpha, self.size, self.seed = sampler, alpha, size, seed
        self.generator = torch.Generator()
        self.ids = torch.empty(0, dtype=torch.long)
        self.log_probabilities_V = torch.empty(0)
        # Of the weights, kept: to make it for each draw would cost as much as a step over many items.
        self.sums_V, self.is_uniform = torch.empty(0, dtype=torch.double), False
        self.num_used, self.version = 0, -1

    @classmethod
    def of(cls, sampler: str, settings: StoreSettings, *, seed: int) -> NegativeStore:
        """Make a store of one of SAMPLERS."""
        alpha, size = settings.neg_sampling_alpha, settings.neg_sampling_store_size
        return cls(SAMPLERS[sampler], alpha=alpha, size=size, seed=seed)

    def sample(self, num: int, item_counts_V: Tensor) -> Tensor:
        """Deal out `num` ids, (num,), on the device of the counts."""
        self._follow(item_counts_V)
        if self.num_used + num > len(self.ids):
            self.ids = draw(self.sums_V, max(self.size, num), self.generator).to(item_counts_V.device)
            self.num_used = 0
        self.num_used += num
        return self.ids[self.num_used - num : self.num_used]

    def draw(self, num: int, item_counts_V: Tensor) -> Tensor:
        """Draw `num` ids from PyTorch's own random numbers, (num,): as in dropout, each process draws its own."""
        self._follow(item_counts_V)
        if self.is_uniform:
            return torch.randint(1, len(item_counts_V), (num,), device=item_counts_V.device)
        return draw(self.sums_V, num).to(item_counts_V.device)

    def _follow(self, item_counts_V: Tensor) -> None:
        """Begin anew where the counts have changed."""
        # Counts change in place once a day; to sum them up at each step would cost as much as the step.
        if item_counts_V._version == self.version and self.log_probabilities_V.device == item_counts_V.device:
            return
        seed = self.seed + int(item_counts_V.sum())
        self.generator = torch.Generator(exact_device(item_counts_V.device)).manual_seed(seed)
        self.ids, self.num_used = item_counts_V[:0], 0
        self._weigh(item_counts_V)

    def state(self) -> dict[str, Tensor]:
        """Give what the next ids depend on beside the counts; empty before the first ones."""
        if self.version == -1:
            return {}
        used = torch.tensor(self.num_used)
        return {"ids": self.ids, "num_used": used, "generator": self.generator.get_state()}

    def restore(self, state: Mapping[str, Tensor], item_counts_V: Tensor) -> None:
        """Go on where state() was called, with the counts of that time."""
        self.generator = torch.Generator(exact_device(item_counts_V.device))
        self.generator.set_state(state["generator"])
        self.ids, self.num_used = state["ids"].to(item_counts_V.device), int(state["num_used"])
        self._weigh(item_counts_V)

    def _weigh(self, item_counts_V: Tensor) -> None:
        weights_V = self.sampler(item_counts_V, self.alpha)
        self.is_uniform, self.version = bool((weights_V[1:] == 1).all()), item_counts_V._version
        self.sums_V = weights_V.cumsum(0)
        log_probabilities_V = weights_V.div_(weights_V.sum()).log_()
        self.log_probabilities_V = log_probabilities_V.float().to(item_counts_V.device)


def of_other_sessions(labels_P: Tensor, row_P: Tensor) -> Tensor:
    """Say which labels of the batch are negatives of which prediction, (P, P).

    Those of its own session (`row_P` tells sessions apart) are not, nor is its label wherever it stands.
    """
    return (row_P[:, None] != row_P) & (labels_P[:, None] != labels_P)


def of_positions(negatives: Jagged, lengths_B: Tensor, row_P: Tensor, position_P: Tensor) -> Tensor:
    """Give the negatives of chosen positions out of a column that holds them position by position, (P, K).

    `lengths_B` are the items of each session; row and position say where a label stands. A session with fewer
    negatives a position than the others has 0 in the rest.
    """
    num_negatives_B = negatives.lengths // lengths_B.clamp(min=1)
    num_negatives_P1 = num_negatives_B[row_P, None]
    within_K = torch.arange(int(num_negatives_B.max()), device=row_P.device)
    places_PK = negatives.offsets[row_P, None] + position_P[:, None] * num_negatives_P1 + within_K
    is_own_PK = within_K < num_negatives_P1
    return negatives.values[places_PK.masked_fill(~is_own_PK, 0)].masked_fill(~is_own_PK, 0)
