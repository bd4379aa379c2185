"""Item tables whose rows are shared out over the processes of a run: which rows are whose, and what processes exchange.

Every process holds padding (row 0) and the rows of some items that follow each other, so that its part of a table is
itself the table of a smaller catalogue. Letters as everywhere, and `X` rows of some kind, `U` distinct ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.distributed import ReduceOp
from torch.nn.functional import embedding

from transformers4recsys import distributed

# Of a table that is drawn or written, at a time.
NUMBERS_AT_A_TIME = 2**20
# Normal numbers are drawn in blocks of so many on CPUs; a tensor that ends inside of a block draws its last ones anew.
DRAWN_TOGETHER = 16


@dataclass(frozen=True)
class RowShards:
    """Which of `num_items` ids, padding included, are those of process `rank` of `num_ranks`.

    Every process calls its methods that exchange something, in the same order.
    """

    num_items: int
    rank: int
    num_ranks: int

    @cached_property
    def starts(self) -> list[int]:
        """The first id of each process, and `num_items` behind them."""
        return [1 + rank * (self.num_items - 1) // self.num_ranks for rank in range(self.num_ranks + 1)]

    @property
    def own(self) -> slice:
        """The ids of this process but padding."""
        return slice(self.starts[self.rank], self.starts[self.rank + 1])

    @property
    def num_rows(self) -> int:
        """How many rows its part of a table has, with that of padding."""
        return 1 + self.own.stop - self.own.start

    @property
    def most_rows(self) -> int:
        """The largest `num_rows` of all processes."""
        return 1 + max(end - start for start, end in zip(self.starts, self.starts[1:], strict=False))

    def part_of(self, table_V: Tensor) -> Tensor:
        """Copy the rows of this process out of a whole table."""
        return torch.cat([table_V[:1], table_V[self.own]])

    def normal_part(self, width: int, *, std: float = 1.0) -> Tensor:
        """Draw a whole table of normal numbers, some rows at a time; keep the part of this process, (rows, width)."""
        rows_at_a_time = DRAWN_TOGETHER * max(1, NUMBERS_AT_A_TIME // (DRAWN_TOGETHER * width))
        last_start = max(0, self.num_items - math.ceil(DRAWN_TOGETHER / width))
        part = torch.empty(self.num_rows, width)
        for first, end in pairwise([*range(0, last_start + 1, rows_at_a_time), self.num_items]):
            rows, places = torch.empty(end - first, width).normal_(std=std), self.places(torch.arange(first, end))
            part[places[places > 0]] = rows[places > 0]
            if first == 0:
                part[0] = rows[0]
        return part

    def places(self, ids: Tensor) -> Tensor:
        """Say in which row of this process's part each item stands: 0 where another process has it."""
        is_own = (ids >= self.own.start) & (ids < self.own.stop)
        return (ids - self.own.start + 1).where(is_own, 0)

    def sum(self, values: Tensor) -> Tensor:
        return distributed.sum_over_ranks(values)

    def largest(self, values: Tensor) -> Tensor:
        largest = values.clone()
        torch.distributed.all_reduce(largest, ReduceOp.MAX)
        return largest


@dataclass(frozen=True)
class SharedTable:
    """A table of which each process holds a `part`, as it is written: whole, a block after the other."""

    part: Tensor
    shards: RowShards

    @property
    def shape(self) -> torch.Size:
        return torch.Size([self.shards.num_items, *self.part.shape[1:]])

    @property
    def dtype(self) -> torch.dtype:
        return self.part.dtype

    def blocks(self) -> Iterator[Tensor]:
        """Give all rows in their order; the first process calls it, while the others `send` theirs."""
        yield from self._in_blocks(self.part)
        starts = self.shards.starts
        for rank in range(1, self.shards.num_ranks):
            for rows in torch.split(torch.arange(starts[rank], starts[rank + 1]), self._rows_at_a_time):
                block = self.part.new_empty(len(rows), *self.part.shape[1:])
                torch.distributed.recv(block, src=rank)
                yield block

    def send(self) -> None:
        """Hand the rows of this process to the first one."""
        for block in self._in_blocks(self.part[1:]):
            torch.distributed.send(block.contiguous(), dst=0)

    @property
    def _rows_at_a_time(self) -> int:
        return max(1, NUMBERS_AT_A_TIME // max(1, self.part[0].numel()))

    def _in_blocks(self, rows: Tensor) -> Iterator[Tensor]:
        return iter(torch.split(rows, self._rows_at_a_time))


def normal_table(num_items: int, width: int, shards: RowShards | None, *, std: float = 1.0) -> Tensor:
    """Draw normal numbers, (num_items, width); with `shards`, give the part of this process of just these.

    Random numbers that follow are the same ones either way.
    """
    return torch.empty(num_items, width).normal_(std=std) if shards is None else shards.normal_part(width, std=std)


def rows_of_all(ids: Tensor, part_V: Tensor, shards: RowShards, *, sparse: bool = False) -> Tensor:
    """Look rows up wherever they are, (..., E): the plain twin is `embedding` of the whole table.

    Every process calls it with ids of its own, perhaps none. Gradients are the mean over processes, as those of
    DistributedDataParallel, of the rows of this process's part; padding has none.
    """
    ids_U, place = cast("tuple[Tensor, Tensor]", torch.unique(ids, return_inverse=True))  # pyright: ignore
    bounds = torch.searchsorted(ids_U, torch.tensor([0, *shards.starts[1:]], device=ids.device))
    asked = bounds.diff()
    told = torch.empty_like(asked)
    torch.distributed.all_to_all_single(told, asked)
    num_asked, num_told = asked.tolist(), told.tolist()
    ids_X = _exchanged(ids_U, num_asked, num_told)
    rows_XE = embedding(shards.places(ids_X), part_V, padding_idx=0, sparse=sparse)
    rows_UE = cast("Tensor", _Answers.apply(rows_XE, num_told, num_asked))  # pyright: ignore[reportUnknownMemberType]
    return embedding(place, rows_UE)


class _Answers(torch.autograd.Function):
    """Sends the rows that other processes asked for, and their gradients back."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows_XE: Tensor, num_told: list[int], num_asked: list[int]) -> Tensor:
        ctx.numbers = num_told, num_asked  # pyright: ignore[reportAttributeAccessIssue]
        return _exchanged(rows_XE, num_told, num_asked)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient_UE: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        num_told, num_asked = cast("tuple[list[int], list[int]]", ctx.numbers)  # pyright: ignore
        return _exchanged(gradient_UE, num_asked, num_told) / len(num_told), None, None


def _exchanged(rows_X: Tensor, num_sent: list[int], num_received: list[int]) -> Tensor:
    """Send each process its share of the rows, and give what all sent here, in the order of the processes."""
    received = rows_X.new_empty(sum(num_received), *rows_X.shape[1:])
    torch.distributed.all_to_all_single(received, rows_X.contiguous(), num_received, num_sent)
    return received
