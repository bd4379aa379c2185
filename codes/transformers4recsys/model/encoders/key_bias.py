"""The bias of attention's keys, which a softmax does not see: it gets no gradient."""

import torch
from torch import Tensor


def without_key_gradient(bias_3D: Tensor) -> Tensor:
    """Give the bias of queries, keys and values as it is, (3D,), and keep gradients from the part of the keys.

    What all keys share adds the same to all scores of a query, and the softmax takes it away again: the gradient is
    nothing but rounding. Adam divides gradients by their size and would make steps of it that no two runs share.
    """
    query_D, key_D, value_D = bias_3D.chunk(3)
    return torch.cat([query_D, key_D.detach(), value_D])
