"""Finds values in an Arrow array as a dict of them would, in 8 bytes a value beside the array."""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq
from typing import Any

import numpy as np
import pyarrow as pa

# So many values are Python objects at a time while they are hashed or compared.
FEW_VALUES = 65_536
# 2^64 over the golden ratio, as a signed number (Knuth, The Art of Computer Programming, volume 3, section 6.4).
SPREAD = 0x9E3779B97F4A7C15 - 2**64


class ValueIndex:
    """The places of the values of an array (N,), by their Python hashes and `==`.

    An entry is 64 bits: the leading ones of a value's hash, then its place in the array. Entries are sorted; where the
    leading bits of several values are the same, the values themselves are compared.
    """

    def __init__(self, values: pa.Array):
        self._values = values
        self._place_bits = (1 << len(values).bit_length()) - 1
        # One more than there are values: a search can end behind the last of them.
        self._entries = np.full(len(values) + 1, np.iinfo(np.int64).max)
        for first in range(0, len(values), FEW_VALUES):
            part = values.slice(first, FEW_VALUES).to_pylist()
            places = np.arange(first, first + len(part))
            self._entries[places] = self._leading_bits(part) | places
        self._entries.sort()

    def __reduce__(self) -> tuple[type[ValueIndex], tuple[pa.Array]]:
        # Each process of Python hashes text in its own way, so a copy in another one is built anew.
        return ValueIndex, (self._values,)

    def places(self, wanted: Sequence[Any]) -> np.ndarray:
        """Give the place of each wanted value, (K,), the first one of equal values; -1 for what is not there."""
        parts = [self._places(wanted[first : first + FEW_VALUES]) for first in range(0, len(wanted), FEW_VALUES)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _places(self, wanted: Sequence[Any]) -> np.ndarray:
        found = np.full(len(wanted), -1, dtype=np.int64)
        numbers, leading = np.arange(len(wanted)), self._leading_bits(wanted)
        at = np.searchsorted(self._entries, leading)
        while len(numbers):
            entries = self._entries[at]
            is_candidate = (entries & ~self._place_bits == leading) & (at < len(self._values))
            numbers, leading, at = numbers[is_candidate], leading[is_candidate], at[is_candidate]
            places = entries[is_candidate] & self._place_bits
            values = self._values.take(pa.array(places)).to_pylist()
            is_equal = np.fromiter(map(eq, values, (wanted[number] for number in numbers.tolist())), dtype=np.bool_)
            found[numbers[is_equal]] = places[is_equal]
            numbers, leading, at = numbers[~is_equal], leading[~is_equal], at[~is_equal] + 1
        return found

    def _leading_bits(self, values: Sequence[Any]) -> np.ndarray:
        # A whole number is its own hash: multiplied, small ones differ in their leading bits, too.
        return np.fromiter(map(hash, values), dtype=np.int64) * SPREAD & ~self._place_bits
