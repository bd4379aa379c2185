"""The tensors of a safetensors file, each read when it is asked for, block by block where it is large."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NUMBERS_AT_A_TIME = 2**22


class TensorFile(Mapping[str, Tensor]):
    """Reads an open file, of which it keeps nothing but names, types, shapes and places.

    Each look-up reads the tensor anew; `read_into` fills memory that is there already, so that a table of many
    gigabytes is never there twice. Raise ValueError where it is not a safetensors file.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        num_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= num_bytes - 8:
            raise ValueError("its header is not in it")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            self._entries = {name: _Entry(entry, 8 + length) for name, entry in header.items()}
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"its header has no {error}") from error
        for name, entry in self._entries.items():
            if not (8 + length <= entry.start <= entry.end <= num_bytes) or entry.end - entry.start != entry.num_bytes:
                raise ValueError(f"{name} does not lie in it")

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> Tensor:
        entry = self._entries[name]
        tensor = torch.empty(entry.shape, dtype=entry.dtype)
        self.read_into(name, tensor)
        return tensor

    def shape(self, name: str) -> torch.Size:
        """Give the shape of a tensor without reading it."""
        return self._entries[name].shape

    def with_zero_rows(self, name: str, num_rows: int) -> Tensor:
        """Read a table of fewer rows than `num_rows`, and let rows of 0 follow."""
        entry = self._entries[name]
        table = torch.zeros(num_rows, *entry.shape[1:], dtype=entry.dtype)
        self.read_into(name, table)
        return table

    @torch.no_grad()
    def read_into(self, name: str, tensor: Tensor) -> None:
        """Fill a tensor of this shape, or the first rows of one that has more; it may be on any device."""
        entry = self._entries[name]
        if not tensor.is_contiguous():
            tensor[: entry.shape[0]].copy_(self[name])
            return
        num_numbers = math.prod(entry.shape)
        numbers = tensor.view(-1)
        block = torch.empty(min(num_numbers, NUMBERS_AT_A_TIME), dtype=entry.dtype)
        self._file.seek(entry.start)
        for first in range(0, num_numbers, NUMBERS_AT_A_TIME):
            part = block[: num_numbers - first]
            memory = part.view(torch.uint8).numpy().data
            if self._file.readinto(memory) != len(memory):  # pyright: ignore[reportAttributeAccessIssue]
                raise ValueError(f"it ends inside {name}")
            numbers[first : first + len(part)].copy_(part)


class _Entry:
    """What the header says of a tensor; `start` and `end` count from the beginning of the file."""

    def __init__(self, entry: Mapping[str, object], first: int):
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]  # pyright: ignore
        self.dtype, self.shape = DTYPES[str(dtype)], torch.Size(shape)  # pyright: ignore[reportArgumentType]
        self.start, self.end = first + start, first + end
        self.num_bytes = math.prod(self.shape) * self.dtype.itemsize
