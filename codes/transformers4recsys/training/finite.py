"""Ends a run whose loss, gradients or weights are no longer finite numbers, before anything of it is saved."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from transformers4recsys.errors import DivergedError

# On a GPU each look waits for all that is queued there.
STEPS_BETWEEN_LOOKS = 50


class FiniteWatch:
    """Looks at the numbers of each step: at once on a CPU, every few steps on a GPU, and whenever `check` is called.

    `day` is what the messages name, `advice` what they say is to be done.
    """

    def __init__(self, device: torch.device, *, advice: str):
        self.device, self.advice, self.day = device, advice, "training"
        self.looks_at_once = device.type == "cpu"
        self.start()

    def start(self, day: str | None = None) -> None:
        """Begin a day."""
        self.day = day or self.day
        self.first_bad_step = torch.zeros((), dtype=torch.long, device=self.device)

    def see(self, step: int, loss: Tensor, gradient_norm: Tensor | None) -> None:
        """Note the loss of a step, from 1, and the norm of its gradients before they move a weight."""
        if type(gradient_norm) is DTensor:
            gradient_norm = gradient_norm.full_tensor()
        numbers = loss if gradient_norm is None else loss + gradient_norm.to(loss.device)
        if self.looks_at_once:
            if not torch.isfinite(numbers):
                bad = loss if gradient_norm is None or not torch.isfinite(loss) else gradient_norm
                self._end(step, f"the {'loss' if bad is loss else 'norm of the gradients'} is {float(bad):g}")
            return
        is_first = ~torch.isfinite(numbers) & (self.first_bad_step == 0)
        self.first_bad_step.masked_fill_(is_first, step)
        if step % STEPS_BETWEEN_LOOKS == 0:
            self.check()

    def check(self) -> None:
        """Raise DivergedError if a step had a number that is not finite."""
        step = int(self.first_bad_step)
        if step:
            self._end(step, "the loss or a gradient is not a finite number")

    def check_model(self, model: nn.Module, optimizer: torch.optim.Optimizer | None, step: int) -> None:
        """Raise DivergedError if a step, a weight or the state of its optimizer is not finite: nothing may be saved."""
        self.check()
        states = optimizer.state.values() if optimizer else []
        if not _are_finite(value for state in states for value in state.values()):
            self._end(step, "the optimizer's moments overflow: a gradient was too large to be squared")
        if not _are_finite([*model.parameters(), *model.buffers()]):
            self._end(step, "a weight is not a finite number")

    def _end(self, step: int, what: str) -> None:
        raise DivergedError(
            f"{self.day}, step {step} of the day: {what}; nothing of it is saved, "
            f"what was saved before stays as it is. {self.advice}"
        )


@torch.no_grad()
def _are_finite(values: Iterable[object]) -> bool:
    # Minimum and maximum tell of NaN and of both infinities; a sum might overflow.
    tensors = [value for value in values if isinstance(value, Tensor) and value.is_floating_point() and value.numel()]
    tensors = [tensor.to_local() if type(tensor) is DTensor else tensor for tensor in tensors]
    bounds = [bound.float().cpu() for tensor in tensors if tensor.numel() for bound in torch.aminmax(tensor)]
    return not bounds or bool(torch.isfinite(torch.stack(bounds)).all())
