"""Arrow columns as flat numpy values, with offsets where a row holds a list."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa

LIST_TYPES = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
# An older pyarrow does not know all of them.
IS_LIST = [test for name in LIST_TYPES if (test := getattr(pa.types, f"is_{name}", None))]


def is_list(column_type: pa.DataType) -> bool:
    return any(test(column_type) for test in IS_LIST)


def value_type(column_type: pa.DataType) -> pa.DataType:
    """Give the type of single values, in a list or not, dictionary-encoded or not."""
    if is_list(column_type):
        column_type = column_type.value_type
    return column_type.value_type if pa.types.is_dictionary(column_type) else column_type


def flattened(column: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """Split a column without null rows into values (N,) and offsets (R+1,); None for one value a row."""
    assert not column.null_count, "check_files() refuses null rows"
    if not is_list(column.type):
        return _decoded(column), None
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    return _decoded(column.flatten()), np.concatenate([[0], lengths.cumsum(dtype=np.int64)])


def to_numpy(values: pa.Array) -> np.ndarray:
    """Give values without nulls as numpy numbers; timestamps as microseconds since 1970, texts by `text_numbers`."""
    assert not values.null_count, "check_files() refuses null values"
    if is_text(values.type):
        return text_numbers(values)
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64())
    return values.to_numpy(zero_copy_only=False)


def is_text(column_type: pa.DataType) -> bool:
    return pa.types.is_string(column_type) or pa.types.is_large_string(column_type)


def text_numbers(texts: pa.Array) -> np.ndarray:
    """Number texts by 64 bits of their BLAKE2b: a text has one number in every file, and no two are likely to share it.

    Among ten million texts the chance that any two do is 3 in a million.
    """
    encoded = texts.dictionary_encode()
    digests = (blake2b(text.encode(), digest_size=8).digest() for text in encoded.dictionary.to_pylist())
    numbers = np.array([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=np.int64)
    return numbers[encoded.indices.to_numpy(zero_copy_only=False)]


def as_input(values: np.ndarray, dtype: str) -> np.ndarray:
    """Give the numbers the type that the model reads: float32 for dtype float, int64 for all others."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32 if dtype == "float" else np.int64, copy=False)


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
