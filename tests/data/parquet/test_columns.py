"""Arrow's many ways to hold a list become one: flat values and offsets."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from transformers4recsys.data.parquet.columns import as_input, flattened, is_list, to_numpy, value_type

LISTS = [[1, 2], [], [3]]


ARRAYS = {
    "list": lambda: pa.array(LISTS, pa.list_(pa.int32())),
    "large list": lambda: pa.array(LISTS, pa.large_list(pa.uint8())),
    "list view": lambda: pa.array(LISTS, pa.list_view(pa.int64())),
    "large list view": lambda: pa.array(LISTS, pa.large_list_view(pa.int64())),
    "list view out of order": lambda: pa.ListViewArray.from_arrays([1, 0, 0], [2, 0, 1], pa.array([3, 1, 2])),
    "slice": lambda: pa.array([[9, 9], *LISTS, [9]], pa.list_(pa.int64())).slice(1, 3),
    "dictionary": lambda: pa.ListArray.from_arrays([0, 2, 2, 3], pa.array([1, 2, 3]).dictionary_encode()),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_list_columns_are_flat(name: str):
    if "view" in name and not hasattr(pa, "list_view"):
        pytest.skip("this pyarrow has no list views")
    array = ARRAYS[name]()
    values, offsets = flattened(array)
    assert to_numpy(values).tolist() == [1, 2, 3]
    assert offsets is not None and offsets.tolist() == [0, 2, 2, 3] and offsets.dtype == np.int64
    assert is_list(array.type) and pa.types.is_integer(value_type(array.type))


def test_lists_of_one_size_are_flat():
    values, offsets = flattened(pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)))
    assert to_numpy(values).tolist() == [1, 2, 3, 4]
    assert offsets is not None and offsets.tolist() == [0, 2, 4]
    values, offsets = flattened(pa.array([[9, 9], [1, 2], [3, 4]], pa.list_(pa.int64(), 2)).slice(1, 2))
    assert to_numpy(values).tolist() == [1, 2, 3, 4]


def test_single_values_have_no_offsets():
    values, offsets = flattened(pa.array([5, 6]).dictionary_encode())
    assert offsets is None and to_numpy(values).tolist() == [5, 6]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
def test_timestamps_are_microseconds_since_1970(unit: str, zone: str | None):
    of_a_day = pa.array([datetime(1970, 1, 2)], pa.timestamp("us")).cast(pa.timestamp(unit)).cast(pa.int64())
    assert to_numpy(of_a_day.cast(pa.timestamp(unit, zone))).tolist() == [86_400_000_000]


def test_integers_widen_exactly():
    big = 2**53 + 1
    assert as_input(to_numpy(pa.array([big])), "long").tolist() == [big]
    assert as_input(to_numpy(pa.array([255], pa.uint8())), "categorical").tolist() == [255]


def test_floats_become_32_bits():
    values = as_input(to_numpy(pa.array([0.5, 3], pa.float64())), "float")
    assert values.dtype == np.float32 and values.tolist() == [0.5, 3]
    assert as_input(to_numpy(pa.array([7], pa.int64())), "float").dtype == np.float32


def test_columns_without_rows_are_flat():
    values, offsets = flattened(pa.array([], pa.list_(pa.float32())))
    assert len(values) == 0 and offsets is not None and offsets.tolist() == [0]
