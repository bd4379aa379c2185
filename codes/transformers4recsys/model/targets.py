"""Which positions of a session predict an item, which item, and whether they see it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

import torch
from torch import Tensor

from transformers4recsys.errors import InputError
from transformers4recsys.outputs import Targets
from transformers4recsys.settings import check, setting


class TargetRule(Protocol):
    """Chooses targets: `item_ids_BL` is 0 on padding; `is_past_BL` marks positions of earlier sessions.

    All is on the CPU, where the number of targets is known at once.

    A rule that `hides_inputs` predicts each target at its own position, from a vector that stands for
    "masked"; the others predict it at the position before, which sees all there is up to there.
    """

    hides_inputs: bool
    task: str

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets: ...

    def count(self, lengths_B: Tensor) -> Tensor:
        """Count the targets of sessions or, where they are drawn, what they are drawn from; one item alone has none."""
        ...


@dataclass(frozen=True)
class CausalTargets:
    """Every position of the current session predicts the item that follows it."""

    hides_inputs, task = False, "causal"

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        next_ids_BL = torch.nn.functional.pad(item_ids_BL[:, 1:], (0, 1))
        is_target_BL = (next_ids_BL != 0) & ~is_past_BL
        return Targets(is_target_BL, next_ids_BL * is_target_BL)

    def count(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B - 1).clamp(min=0).sum()


@dataclass(frozen=True)
class CausalLastTarget:
    """Only the last item of each session is predicted, from all that came before it."""

    hides_inputs, task = False, "causal"

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
    hides_inputs, task = True, "masked"

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

    hides_inputs, task = True, "masked"

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        is_last_BL = _last((item_ids_BL != 0) & ~is_past_BL)
        return Targets(is_last_BL, item_ids_BL * is_last_BL)

    def count(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B > 1).sum()


@dataclass(frozen=True)
class PermutedTargets:
    """Spans of the current session are predicted item by item, in a random order (Yang 2019, XLNet).

    Each target sees what is no target, and the targets before it in that order. Spans are 1 to `max_span` items long,
    one in every span / `probability` items. Every session keeps at least one target and, where it has two items, at
    least one that is none.
    """

    probability: float = 0.25
    max_span: int = 5
    hides_inputs, task = True, "permuted"

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        can_be_BL = (item_ids_BL != 0) & ~is_past_BL
        draws_BL = torch.rand(item_ids_BL.shape, generator=generator, device=item_ids_BL.device)
        rank_BL = draws_BL.masked_fill(~can_be_BL, 2.0).argsort(dim=1).argsort(dim=1)
        is_largest_BL = rank_BL == can_be_BL.sum(1, keepdim=True).clamp(min=2) - 1
        in_span_BL = self._spans(can_be_BL, generator)
        is_target_BL = can_be_BL & ((rank_BL == 0) | (in_span_BL & ~is_largest_BL))
        # What is drawn anew for the order has nothing to do with what was chosen.
        again_BL = torch.rand(item_ids_BL.shape, generator=generator, device=item_ids_BL.device)
        order_BL = again_BL.masked_fill(~is_target_BL, 2.0).argsort(dim=1).argsort(dim=1) + 1
        return Targets(is_target_BL, item_ids_BL * is_target_BL, order_BL * is_target_BL)

    def _spans(self, can_be_BL: Tensor, generator: torch.Generator | None) -> Tensor:
        """Say which positions lie in a span, (B, L): one after the other from the first that can be a target."""
        num_rows, length = can_be_BL.shape
        place_BL = can_be_BL.cumsum(1) - 1
        in_span_BL = torch.zeros_like(can_be_BL)
        first_B1 = place_BL.new_zeros(num_rows, 1)
        for _ in range(math.ceil(length * self.probability) if self.probability else 0):
            drawn_2B1 = torch.rand(2, num_rows, 1, generator=generator, device=can_be_BL.device)
            span_B1 = (drawn_2B1[0] * self.max_span).long() + 1
            room_B1 = (span_B1 / self.probability).long()
            start_B1 = first_B1 + (drawn_2B1[1] * (room_B1 - span_B1 + 1)).long()
            in_span_BL |= (place_BL >= start_B1) & (place_BL < start_B1 + span_B1)
            first_B1 = first_B1 + room_B1
        return in_span_BL

    def count(self, lengths_B: Tensor) -> Tensor:
        return MaskedTargets().count(lengths_B)


@dataclass(frozen=True)
class PermutedLastTarget:
    """Only the last item of each session is predicted, which nothing sees."""

    hides_inputs, task = True, "permuted"

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor, generator: torch.Generator | None = None) -> Targets:
        last = MaskedLastTarget().select(item_ids_BL, is_past_BL)
        return Targets(last.is_target, last.item_ids, last.is_target.long())

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
    "permuted": PermutedTargets,
    "permuted_last": PermutedLastTarget,
}


def _of(task: str) -> dict[str, Any]:
    """Say of a setting that it has an effect in one task alone."""
    return {"used_if": attrgetter(task), "unused_because": f"`{task}` is off"}


@dataclass(frozen=True)
class TargetSettings:
    """Task: which items are predicted"""

    mlm: bool = setting(False, "learn masked items instead of next ones", if_changed="refuse")
    mlm_probability: float = setting(
        0.15,
        "share of items that are masked",
        at_least=0,
        below=1,
        used_if=lambda own: own.task == "masked",
        unused_because="`mlm` is off",
    )
    plm: bool = setting(False, "learn items in a random order, each from those before it (xlnet)", if_changed="refuse")
    plm_probability: float = setting(
        0.25,
        "share of items that are predicted",
        at_least=0,
        below=1,
        **_of("plm"),
    )
    plm_max_span_length: int = setting(
        5,
        "longest run of items that are predicted together",
        at_least=1,
        **_of("plm"),
    )
    rtd: bool = setting(
        False, "learn masked items, and to tell items that a model put there from real ones", if_changed="refuse"
    )
    rtd_sample_from_batch: bool = setting(
        False,
        "draw replaced items from the batch, with all their columns; without it from all items",
        **_of("rtd"),
    )
    rtd_tied_generator: bool = setting(
        False,
        "one encoder predicts masked items and tells replaced ones; without it there are two",
        **_of("rtd"),
        if_changed="refuse",
    )
    rtd_generator_loss_weight: float = setting(
        1.0,
        "weight of the loss of masked items",
        at_least=0,
        **_of("rtd"),
    )
    rtd_discriminator_loss_weight: float = setting(
        50.0,
        "weight of the loss of telling items apart",
        at_least=0,
        **_of("rtd"),
    )
    train_on_last_item_seq_only: bool = setting(False, "the loss falls on the last item of each session alone")
    eval_on_last_item_seq_only: bool = setting(False, "metrics fall on the last item of each session alone")

    def __post_init__(self) -> None:
        check(self)
        if self.plm and (self.mlm or self.rtd):
            raise InputError("`plm` is a task of its own: leave out `mlm` and `rtd`")

    @property
    def task(self) -> str:
        """Whether items are predicted from those before them (causal), from both sides (masked), or permuted."""
        return "permuted" if self.plm else "masked" if self.mlm or self.rtd else "causal"

    def training_rule(self) -> TargetRule:
        """Choose what the loss falls on."""
        if self.train_on_last_item_seq_only:
            return self._rule(is_last_only=True)
        if self.task == "permuted":
            return PermutedTargets(self.plm_probability, self.plm_max_span_length)
        return MaskedTargets(self.mlm_probability) if self.task == "masked" else CausalTargets()

    def evaluation_rule(self) -> TargetRule:
        """Choose what metrics fall on: always the last item where items are not predicted from those before them."""
        return self._rule(is_last_only=self.eval_on_last_item_seq_only or self.task != "causal")

    def _rule(self, *, is_last_only: bool) -> TargetRule:
        return TARGET_RULES[f"{self.task}{'_last' if is_last_only else ''}"]()
