"""The tensors of a safetensors file, each read when it is asked for, and written, block by block where it is large."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

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
NAMES = {dtype: name for name, dtype in DTYPES.items()}
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
        table = self.zero_rows(name, num_rows)
        self.read_into(name, table)
        return table

    def zero_rows(self, name: str, num_rows: int) -> Tensor:
        """Make rows of 0 of the type and width of a table, without reading it."""
        entry = self._entries[name]
        return torch.zeros(num_rows, *entry.shape[1:], dtype=entry.dtype)

    @torch.no_grad()
    def read_into(self, name: str, tensor: Tensor) -> None:
        """Fill a tensor of this shape, or the first rows of one that has more; it may be on any device."""
        entry = self._entries[name]
        if not tensor.is_contiguous():
            tensor[: entry.shape[0]].copy_(self[name])
            return
        self._fill(tensor.view(-1)[: math.prod(entry.shape)], name, 0)

    @torch.no_grad()
    def read_rows_into(self, name: str, first: int, rows: Tensor) -> None:
        """Fill contiguous rows with those of a table from `first` on; where it has fewer, the rest stays as it is."""
        num_rows, *size = self._entries[name].shape
        num_found = max(0, min(num_rows - first, len(rows)))
        self._fill(rows.view(-1)[: num_found * math.prod(size)], name, first * math.prod(size))

    def _fill(self, numbers: Tensor, name: str, first_number: int) -> None:
        entry = self._entries[name]
        block = torch.empty(min(len(numbers), NUMBERS_AT_A_TIME), dtype=entry.dtype)
        self._file.seek(entry.start + first_number * entry.dtype.itemsize)
        for first in range(0, len(numbers), NUMBERS_AT_A_TIME):
            part = block[: len(numbers) - first]
            memory = part.view(torch.uint8).numpy().data
            if self._file.readinto(memory) != len(memory):  # pyright: ignore[reportAttributeAccessIssue]
                raise ValueError(f"it ends inside {name}")
            numbers[first : first + len(part)].copy_(part)


class Blocks(Protocol):
    """A tensor that is written block by block, such as one that is nowhere whole."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def blocks(self) -> Iterator[Tensor]: ...


def in_order(tensors: Mapping[str, Tensor | Blocks]) -> list[tuple[str, Tensor | Blocks]]:
    """Give tensors as they follow each other in a file: the widest numbers first, so that all lie where they can."""
    return sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))


def write_tensors(
    tensors: Mapping[str, Tensor | Blocks], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, with no copy of a tensor that lies in the memory of the CPU."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in in_order(tensors):
        start, end = end, end + math.prod(tensor.shape) * tensor.dtype.itemsize
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in in_order(tensors):
            for block in [tensor] if isinstance(tensor, Tensor) else tensor.blocks():
                numbers = block.detach().cpu().contiguous().view(-1)
                file.write(numbers.view(torch.uint8).numpy().data)


class _Entry:
    """What the header says of a tensor; `start` and `end` count from the beginning of the file."""

    def __init__(self, entry: Mapping[str, object], first: int):
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]  # pyright: ignore
        self.dtype, self.shape = DTYPES[str(dtype)], torch.Size(shape)  # pyright: ignore[reportArgumentType]
        self.start, self.end = first + start, first + end
        self.num_bytes = math.prod(self.shape) * self.dtype.itemsize
