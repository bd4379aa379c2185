"""Means and deviations of a column that is read in parts."""

import numpy as np
import pytest

from transformers4recsys.data.moments import Moments


def test_parts_add_up_to_the_whole():
    # 1, 2, 3, 6: mean 3, squared deviations 4 + 1 + 0 + 9 = 14.
    joined = Moments() + Moments.of(np.array([1, 2])) + Moments.of(np.array([])) + Moments.of(np.array([3.0, 6.0]))
    assert (joined.count, joined.mean, joined.squares) == (4, 3.0, 14.0)
    assert joined.std == pytest.approx((14 / 4) ** 0.5)


def test_large_numbers_that_vary_little_keep_their_deviation():
    seconds = 1_570_000_000 + np.arange(10)
    joined = Moments.of(seconds[:3]) + Moments.of(seconds[3:])
    assert joined.mean == 1_570_000_004.5
    assert joined.std == pytest.approx(np.sqrt((10**2 - 1) / 12), rel=1e-12)


def test_nothing_has_no_deviation():
    assert (Moments() + Moments()).std == 0.0
