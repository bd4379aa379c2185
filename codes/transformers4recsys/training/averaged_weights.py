"""The exponential moving average of the weights of a day: steadier than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class AveragedWeights(TrainerCallback):
    """Moves an average of trained weights by 1 - `decay` towards those of each step; with a decay of 0 there is none.

    After n steps the decay is (1 + n) / (10 + n) at most, so that the first weights of a day are soon forgotten.
    torch's AveragedModel would copy the whole model, and what is not trained with it.
    Source: Polyak and Juditsky 1992, with the decay and its beginning of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, decay: float) -> None:
        """Start a day: the weights after its first step begin the average."""
        self.decay, self.num_steps = decay, 0
        self.weights: dict[str, Tensor] = {}

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **others: Any,
    ) -> None:
        if self.decay and model is not None:
            self.see(model)

    @torch.no_grad()
    def see(self, model: nn.Module) -> None:
        """Take the weights of a step into the average."""
        own = _trained(model)
        self.num_steps += 1
        if not self.weights:
            self.weights = {name: weight.detach().clone() for name, weight in own.items()}
            return
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        averages, weights = [*self.weights.values()], [own[name].detach() for name in self.weights]
        get_ema_multi_avg_fn(decay)(averages, weights, self.num_steps)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Let the model have the averaged weights for the time of a block."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def restore(self, model: nn.Module) -> None:
        """Put the average into the model, if there is one."""
        for name, weight in _trained(model).items():
            if name in self.weights:
                weight.copy_(self.weights[name])

    def load(self, num_steps: int, weights: Mapping[str, Tensor]) -> None:
        """Go on from the average of so many steps."""
        self.num_steps, self.weights = num_steps, dict(weights)

    @torch.no_grad()
    def _exchange(self, model: nn.Module) -> None:
        for name, weight in _trained(model).items():
            if name in self.weights:
                of_step = weight.clone()
                weight.copy_(self.weights[name])
                self.weights[name].copy_(of_step)


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
