"""What the columns of a batch hold: ragged lists, kept as parquet stores them until the device pads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from transformers4recsys.schema import Schema

IS_PAST = "is_past"
# The items of whole rows, where the item column holds only the last ones of long rows.
ALL_ITEMS = "all_items"
# Apple's GPUs have no numbers of 64 bits.
WITHOUT_FLOAT64 = ("mps",)


@dataclass(frozen=True)
class Jagged:
    """One list column of B sessions: `values` (N,), and `offsets` (B+1,) where each session begins."""

    values: Tensor
    offsets: Tensor
    max_length: int

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[float]], dtype: torch.dtype | None = None) -> Jagged:
        """Make a column of plain lists; for tests, notebooks and single requests."""
        lengths = torch.tensor([0, *map(len, lists)])
        values = torch.tensor([value for session in lists for value in session], dtype=dtype)
        return cls(values, lengths.cumsum(0), int(lengths.max()))

    @property
    def lengths(self) -> Tensor:
        """Items of each session, (B,)."""
        return self.offsets.diff()

    def to(self, device: torch.device | str) -> Jagged:
        return Jagged(moved(self.values, device), moved(self.offsets, device), self.max_length)

    def is_not_padding(self, length: int) -> Tensor:
        """Say which of `length` padded positions hold a value, (B, length)."""
        return torch.arange(length, device=self.offsets.device) < self.lengths[:, None]

    def padded(self, length: int) -> Tensor:
        """Pad each session on the right with 0 to (B, length)."""
        padded_BL = self.values.new_zeros(len(self.offsets) - 1, length)
        return padded_BL.masked_scatter_(self.is_not_padding(length), self.values)


@dataclass(frozen=True)
class Batch:
    """Columns of B sessions by name; all columns of one session are equally long.

    `on_host` are the same columns on the CPU, where they were collated, once a batch has moved to another device.
    """

    columns: Mapping[str, Jagged]
    on_host: Batch | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).offsets) - 1

    @cached_property
    def max_length(self) -> int:
        return max(column.max_length for column in self.columns.values())

    @property
    def device(self) -> torch.device:
        return next(iter(self.columns.values())).values.device

    @property
    def host(self) -> Batch:
        """The batch on the CPU: what follows from lengths and ids is worked out there, and keeps no device waiting."""
        return self.on_host or self.to("cpu")

    def to(self, device: torch.device | str) -> Batch:
        if torch.device(device) == self.device:
            return self
        is_on_host = self.device.type == "cpu"
        columns = {name: column.to(device) for name, column in self.columns.items()}
        return Batch(columns, on_host=self if is_on_host else self.on_host)

    def padded(self, name: str, length: int) -> Tensor:
        """Column `name` as (B, length), 0 where a session is shorter."""
        return self.columns[name].padded(length)

    def without_last(self, names: Iterable[str]) -> Batch:
        """Give these columns, here and on the host, without the last value of each session of two or more."""
        host = self.host
        on_host = {name: host.columns[name] for name in names}
        whole = next(iter(on_host.values()))
        is_shortened_B = whole.lengths > 1
        is_kept_N = torch.ones(len(whole.values), dtype=torch.bool)
        is_kept_N[whole.offsets[1:][is_shortened_B] - 1] = False
        kept_M, offsets = is_kept_N.nonzero()[:, 0], whole.offsets.clone()
        offsets[1:] -= is_shortened_B.cumsum(0)
        length = max(whole.max_length - 1, min(whole.max_length, 1))

        def shortened(columns: Mapping[str, Jagged]) -> dict[str, Jagged]:
            device = columns[next(iter(on_host))].values.device
            place_M, of_each = moved(kept_M, device), moved(offsets, device)
            return {name: Jagged(columns[name].values.index_select(0, place_M), of_each, length) for name in on_host}

        shorter = Batch(shortened(on_host))
        return shorter if self.device.type == "cpu" else Batch(shortened(self.columns), on_host=shorter)


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Give the tensor on a device; a copy from the CPU to a GPU, by way of pinned memory, keeps neither waiting."""
    is_to_gpu = tensor.device.type == "cpu" and torch.device(device).type == "cuda"
    return (tensor.pin_memory() if is_to_gpu else tensor).to(device, non_blocking=is_to_gpu)


def exact_device(device: torch.device | str) -> torch.device:
    """Give the device for float64 arithmetic on tensors of `device`: the device itself, or the CPU if it has none."""
    device = torch.device(device)
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def concatenated(first: Jagged, second: Jagged) -> Jagged:
    """Put each session of `second` right behind the same session of `first`."""
    offsets = first.offsets + second.offsets
    lengths = torch.stack([first.lengths, second.lengths], dim=1)
    is_second = torch.tensor([False, True], device=offsets.device).repeat(len(offsets) - 1)
    is_second = torch.repeat_interleave(
        is_second, lengths.flatten(), output_size=len(first.values) + len(second.values)
    )
    values = first.values.new_empty(len(is_second))
    values[is_second] = second.values.to(values.dtype)
    values[~is_second] = first.values
    return Jagged(values, offsets, int(offsets.diff().max()))


def with_past(batch: Batch, schema: Schema) -> Batch:
    """Put the past of each session in front of it, and add the column IS_PAST that tells them apart.

    A feature without a past of its own reads 0 there. Past columns leave the batch.
    """
    item = batch.columns[schema.item_id.name]
    past_item = batch.columns[schema.past[schema.item_id.name].name]
    nothing = Jagged(torch.zeros_like(past_item.values), past_item.offsets, past_item.max_length)
    columns: dict[str, Jagged] = {}
    for feature in schema.features:
        past = schema.past_of(feature)
        of_current = batch.columns[feature.name]
        of_past = batch.columns[past.name] if past else nothing
        of_past = Jagged(of_past.values.to(of_current.values.dtype), of_past.offsets, of_past.max_length)
        columns[feature.name] = concatenated(of_past, of_current)
    is_past = Jagged(torch.ones_like(past_item.values, dtype=torch.bool), past_item.offsets, past_item.max_length)
    is_current = Jagged(torch.zeros_like(item.values, dtype=torch.bool), item.offsets, item.max_length)
    return Batch(columns | {IS_PAST: concatenated(is_past, is_current)})


def dummy_batch(schema: Schema) -> Batch:
    """Make a session of one item that is padding: it goes through the whole model, and there is nothing to predict."""
    past = {feature.name for feature in schema.past.values()}
    return Batch(
        {
            feature.name: Jagged.from_lists(
                [[] if feature.name in past else [0]], torch.float if feature.dtype == "float" else torch.long
            )
            for feature in schema.columns
        }
    )
