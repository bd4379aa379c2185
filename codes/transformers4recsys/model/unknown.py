"""Row 0 of a table stands for values that are not known: it is trained in the place of rare ones."""

from __future__ import annotations

import torch
from torch import Tensor

# A value that was met so often is replaced half as often as one never met.
HALF = 10


def is_replaced(counts: Tensor, share: float) -> Tensor:
    """Draw which values give way to the unknown one, by how often each was met so far; any shape.

    The chance is `share` x 10 / (10 + count), as that of unknown words in Kiperwasser and Goldberg (2016).
    """
    return torch.rand(counts.shape, device=counts.device) < share * HALF / (HALF + counts)
