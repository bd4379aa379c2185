"""Scores that follow what was clicked more, or less, on the last day than on all days of its training window."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# How many clicks weigh as much as what is known of an item's share beforehand; infinite ones let nothing shift.
STRENGTHS = (torch.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
# What a day's verdict on them is worth a day later.
FADING = 0.97


class PopularityShift(nn.Module):
    """Corrects scores for the popularity of today: a softmax has learned that of all days that it trained on.

    Where the shares of items change, and what leads to them does not, the logarithm of the change is what scores lack
    (Saerens, Latinne, Decaestecker 2002). An item with `n` clicks on the last day, where `e` were expected by its share
    of the window, has a share that grew by about (n + s) / (e + s): the mean of a gamma distribution behind n draws,
    which was 1 before, at a strength of `s`. Shares that stay, and those that change for a day alone, need an infinite
    strength, so each is graded by how likely it has made the clicks of each next day, and the best so far counts.

    `last_day` and `window` (V,) are counts of the last day and of its training window, `grades` (S,) logarithms of
    likelihoods beside that of the first strength.
    """

    def __init__(self, num_items: int):
        super().__init__()
        self.last_day: Tensor
        self.window: Tensor
        self.grades: Tensor
        self.register_buffer("last_day", torch.zeros(num_items, dtype=torch.long))
        self.register_buffer("window", torch.zeros(num_items, dtype=torch.long))
        # Apple's GPUs have no float64, which likelihoods would need, and their differences do not.
        self.register_buffer("grades", torch.zeros(len(STRENGTHS)))

    def add_day(self, item_counts_V: Tensor, window_counts_V: Tensor) -> None:
        """Count the clicks of a day, and those of its training window, which ends with it, (V,) each."""
        last_day_V, window_V = self.last_day.cpu().double(), self.window.cpu().double()
        clicks_V = item_counts_V.cpu().double().where(window_V > 0, 0)  # nothing was said of other items
        grades = torch.zeros(len(STRENGTHS), dtype=torch.double)
        for number, strength in enumerate(STRENGTHS):
            shares_V = window_V * _changes(last_day_V, window_V, strength)
            log_share_V = (shares_V / shares_V.sum()).log().where(clicks_V > 0, 0)
            grades[number] = (clicks_V * log_share_V).sum()
        self.grades.mul_(FADING).add_((grades - grades[0]).to(self.grades))
        self.last_day.copy_(item_counts_V)
        self.window.copy_(window_counts_V)

    def of_items(self) -> Tensor:
        """Give what is added to the score of each item, (V,)."""
        # The first of equal ones: nothing shifts until days have shown that it should.
        strength = STRENGTHS[int(self.grades.argmax())]
        return _changes(self.last_day.float(), self.window.float(), strength).log()


def _changes(last_day_V: Tensor, window_V: Tensor, strength: float) -> Tensor:
    """Give the change of each item's share, (V,)."""
    if strength == torch.inf:
        return torch.ones_like(last_day_V)
    expected_V = window_V * (last_day_V.sum() / window_V.sum().clamp(min=1))
    return (last_day_V + strength) / (expected_V + strength)
