"""Which positions of a session predict an item, which item, and whether they see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from transformers4recsys.outputs import Targets
from transformers4recsys.settings import check, setting


class TargetRule(Protocol):
    """Chooses targets: `item_ids_BL` is 0 on padding; `is_past_BL` marks positions of earlier sessions.

    A rule that `hides_inputs` predicts each target at its own position, from a vector that stands for
    "masked"; the others predict it at the position before, which sees all there is up to there.
    """

    hides_inputs: bool

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets: ...

    def count(self, lengths_B: Tensor) -> Tensor:
        """Count the targets of sessions or, where they are drawn, what they are drawn from; one item alone has none."""
        ...


@dataclass(frozen=True)
class CausalTargets:
    """Every position of the current session predicts the item that follows it."""

    hides_inputs = False

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        next_ids_BL = torch.nn.functional.pad(item_ids_BL[:, 1:], (0, 1))
        is_target_BL = (next_ids_BL != 0) & ~is_past_BL
        return Targets(is_target_BL, next_ids_BL * is_target_BL)

    def count(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B - 1).clamp(min=0).sum()


@dataclass(frozen=True)
class CausalLastTarget:
    """Only the last item of each session is predicted, from all that came before it."""

    hides_inputs = False

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        every = CausalTargets().select(item_ids_BL, is_past_BL)
        is_last_BL = _last(every.is_target)
        return Targets(is_last_BL, every.item_ids * is_last_BL)

    def count(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B > 1).sum()


@dataclass(frozen=True)
class MaskedTargets:
    """Each item of the current session is masked and predicted with a probability (Devlin 2019).

    Every session keeps at least one target and, where it has two items, at least one visible one.
    """

    probability: float = 0.15
    hides_inputs = True

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        can_be_BL = (item_ids_BL != 0) & ~is_past_BL
        # The item with the smallest draw is always masked, the one with the largest never (of two or more).
        draws_BL = torch.rand(item_ids_BL.shape, generator=generator, device=item_ids_BL.device)
        draws_BL = draws_BL.masked_fill(~can_be_BL, 2.0)
        rank_BL = draws_BL.argsort(dim=1).argsort(dim=1)
        is_largest_BL = rank_BL == can_be_BL.sum(1, keepdim=True).clamp(min=2) - 1
        is_target_BL = can_be_BL & ((rank_BL == 0) | ((draws_BL < self.probability) & ~is_largest_BL))
        return Targets(is_target_BL, item_ids_BL * is_target_BL)

    def count(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B * (lengths_B > 1)).sum()


@dataclass(frozen=True)
class MaskedLastTarget:
    """Only the last item of each session is masked and predicted."""

    hides_inputs = True

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        is_last_BL = _last((item_ids_BL != 0) & ~is_past_BL)
        return Targets(is_last_BL, item_ids_BL * is_last_BL)

    def count(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B > 1).sum()


def _last(is_candidate_BL: Tensor) -> Tensor:
    """Keep the last true position of each row."""
    num_from_here_BL = is_candidate_BL.flip(1).cumsum(1).flip(1)
    return is_candidate_BL & (num_from_here_BL == 1)


TARGET_RULES = {
    "causal": CausalTargets,
    "causal_last": CausalLastTarget,
    "masked": MaskedTargets,
    "masked_last": MaskedLastTarget,
}


@dataclass(frozen=True)
class TargetSettings:
    """Task: which items are predicted"""

    mlm: bool = setting(False, "learn masked items instead of next ones", if_changed="refuse")
    mlm_probability: float = setting(
        0.15,
        "share of items that are masked",
        at_least=0,
        below=1,
        used_if=lambda settings: settings.mlm,
        unused_because="`mlm` is off",
    )
    train_on_last_item_seq_only: bool = setting(False, "the loss falls on the last item of each session alone")
    eval_on_last_item_seq_only: bool = setting(False, "metrics fall on the last item of each session alone")

    def __post_init__(self) -> None:
        check(self)

    def training_rule(self) -> TargetRule:
        """Choose what the loss falls on."""
        if self.mlm and not self.train_on_last_item_seq_only:
            return MaskedTargets(self.mlm_probability)
        return self._rule(is_last_only=self.train_on_last_item_seq_only)

    def evaluation_rule(self) -> TargetRule:
        """Choose what metrics fall on: for masked models always the last item."""
        return self._rule(is_last_only=self.eval_on_last_item_seq_only or self.mlm)

    def _rule(self, *, is_last_only: bool) -> TargetRule:
        return TARGET_RULES[f"{'masked' if self.mlm else 'causal'}{'_last' if is_last_only else ''}"]()
