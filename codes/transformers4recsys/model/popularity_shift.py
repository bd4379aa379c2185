"""Scores that follow what was clicked more, or less, on the last day than before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Days over which earlier clicks fade. Over 30, as many as the softmax learns from, half of the gain is lost (Deskdrop).
DAYS_REMEMBERED = 90


class PopularityShift(nn.Module):
    """Corrects scores for the popularity of today: a softmax has learned that of all days that it trained on.

    Where the shares of items change and what leads to them does not, their logarithm is what scores are wrong by
    (Saerens, Latinne, Decaestecker 2002). An item with `e` expected clicks has a share that changes by a factor, drawn
    from a gamma distribution of mean 1 and shape `a`, and so the expected factor behind `n` clicks is
    (n + a) / (e + a). How much shares change at all is told by Pearson's statistic of the day: where its clicks differ
    from the expected ones by no more than chance, `a` is infinite and nothing shifts.

    `last_day` (V,) are the counts of the last day; `faded` (V,) those of all days, the older the less.
    """

    def __init__(self, num_items: int):
        super().__init__()
        self.last_day: Tensor
        self.faded: Tensor
        self.register_buffer("last_day", torch.zeros(num_items, dtype=torch.long))
        self.register_buffer("faded", torch.zeros(num_items, dtype=torch.double))

    def add_day(self, item_counts_V: Tensor) -> None:
        """Count the clicks of a day, (V,), behind all earlier ones."""
        self.last_day.copy_(item_counts_V)
        self.faded.mul_(1 - 1 / DAYS_REMEMBERED).add_(self.last_day)

    def of_items(self) -> Tensor:
        """Give what is added to the score of each item, (V,)."""
        clicks_V = self.last_day.double()
        expected_V = self.faded * (clicks_V.sum() / self.faded.sum().clamp(min=1))
        # Each item that was ever clicked adds 1 to the statistic by chance, and e / a by the change of its share.
        is_known_V = expected_V > 0
        chance_V = ((clicks_V - expected_V).square() / expected_V).masked_fill(~is_known_V, 0)
        excess = chance_V.sum() - is_known_V.sum()
        # 0 / 0 where nothing was clicked: then, as where the excess is negative, nothing shifts.
        shape = (clicks_V.sum() / excess).nan_to_num(torch.inf)
        if not 0 < shape < torch.inf:
            return torch.zeros_like(clicks_V, dtype=torch.float)
        return ((clicks_V + shape) / (expected_V + shape)).log().float()
