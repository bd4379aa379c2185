"""Which positions of a session predict an item, and which item."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from transformers4recsys.outputs import Targets


class TargetRule(Protocol):
    """Chooses targets: `item_ids_BL` is 0 on padding; `is_past_BL` marks positions of earlier sessions."""

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor | None = None) -> Targets: ...


class CausalTargets:
    """Every position of the current session predicts the item that follows it."""

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor | None = None) -> Targets:
        next_ids_BL = torch.nn.functional.pad(item_ids_BL[:, 1:], (0, 1))
        is_target_BL = next_ids_BL != 0
        if is_past_BL is not None:
            is_target_BL = is_target_BL & ~is_past_BL
        return Targets(is_target_BL, next_ids_BL * is_target_BL)


class LastItemTargets:
    """Only the last item of each session is predicted, from all that came before it."""

    def select(self, item_ids_BL: Tensor, is_past_BL: Tensor | None = None) -> Targets:
        every = CausalTargets().select(item_ids_BL, is_past_BL)
        is_later_BL = torch.nn.functional.pad(every.is_target[:, 1:], (0, 1))
        is_last_BL = every.is_target & ~is_later_BL
        return Targets(is_last_BL, every.item_ids * is_last_BL)


TARGET_RULES = {"causal": CausalTargets, "causal_last": LastItemTargets}
