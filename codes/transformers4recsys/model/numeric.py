"""Numeric columns: their scale, and how a number becomes a vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NumericScale(nn.Module):
    """Brings numeric columns to a mean of about 0 and a deviation of about 1: none may drown the others when merged.

    Each column has a mean and a standard deviation of its own, which are part of the weights: those of the first
    training day on which it varies. A column that comes near enough to both already is taken as it is.
    """

    # Means and deviations up to these need no scale. Small ones are not enlarged: a column that hardly varies on the
    # first day, such as the day of the week, would be far out of its scale on the next one.
    LARGEST_MEAN, LARGEST_STD = 3.0, 3.0
    # Deviations below this share of the mean are rounding of 32 bits.
    ROUNDING = 1e-6

    def __init__(self, num_columns: int):
        super().__init__()
        self.mean_C: Tensor
        self.std_C: Tensor
        self.is_fitted_C: Tensor
        self.register_buffer("mean_C", torch.zeros(num_columns))
        self.register_buffer("std_C", torch.ones(num_columns))
        self.register_buffer("is_fitted_C", torch.zeros(num_columns, dtype=torch.bool))

    def fit(self, means: Sequence[float], stds: Sequence[float]) -> None:
        """Take the scale of each column that has none yet from its mean and standard deviation."""
        for column, (mean, std) in enumerate(zip(means, stds, strict=True)):
            if self.is_fitted_C[column]:
                continue
            is_constant = std <= self.ROUNDING * abs(mean)
            is_near = abs(mean) <= self.LARGEST_MEAN and std <= self.LARGEST_STD
            self.mean_C[column] = 0.0 if is_near else mean
            # Of a column that does not vary so far the size is known, until it varies.
            self.std_C[column] = 1.0 if is_near else (abs(mean) or 1.0) if is_constant else std
            self.is_fitted_C[column] = not is_constant

    def forward(self, values_NC: Tensor) -> Tensor:
        """Scale the columns, in an order of operations that no finite number overflows."""
        return values_NC / self.std_C - self.mean_C / self.std_C


class NumericMoments:
    """Mean and standard deviation of numeric columns, (C,) float64, over batches (Chan, Golub and LeVeque 1979)."""

    def __init__(self, num_columns: int):
        self.count = 0
        self.mean_C, self._squares_C = torch.zeros(2, num_columns, dtype=torch.float64)

    def add(self, columns: Sequence[Tensor]) -> None:
        """Add the values of C columns, (N,) each."""
        if not columns or not len(columns[0]):
            return
        values_CN = torch.stack([column.double() for column in columns])
        mean_C, number = values_CN.mean(1), values_CN.shape[1]
        apart_C, total = mean_C - self.mean_C, self.count + number
        self._squares_C += (values_CN - mean_C[:, None]).square().sum(1) + apart_C**2 * self.count * number / total
        self.mean_C += apart_C * number / total
        self.count = total

    @property
    def std_C(self) -> Tensor:
        return (self._squares_C / max(self.count, 1)).sqrt()


class SoftOneHot(nn.Module):
    """A number as a mixture of E vectors, with weights that are a softmax of linear functions of it; own ones a column.

    Transformers4Rec (RecSys'21), section 3.3: soft one-hot encoding of numeric features.
    """

    def __init__(self, num_columns: int, num_embeddings: int, width: int, *, std: float):
        super().__init__()
        self.slope_CE = nn.Parameter(torch.empty(num_columns, num_embeddings))
        self.shift_CE = nn.Parameter(torch.zeros(num_columns, num_embeddings))
        self.table_CEW = nn.Parameter(torch.empty(num_columns, num_embeddings, width))
        # As a linear layer of one input begins.
        nn.init.uniform_(self.slope_CE, -1, 1)
        nn.init.normal_(self.table_CEW, std=std)

    def forward(self, values_NC: Tensor) -> Tensor:
        """Give the vector of each column, side by side, (N, C x W)."""
        weights_NCE = (values_NC[..., None] * self.slope_CE + self.shift_CE).softmax(-1)
        return torch.einsum("nce,cew->ncw", weights_NCE, self.table_CEW).flatten(1)
