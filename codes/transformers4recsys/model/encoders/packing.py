"""Several sessions in one row: where each one goes when a batch is packed without most of its padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROW_LENGTH = 64


@dataclass(frozen=True)
class Packing:
    """N real positions of B sessions in R rows of `row_length` places."""

    place_N: Tensor  # of each real position among the R x row_length places, session by session
    num_rows: int
    row_length: int
    padding_mask_BL: Tensor

    def packed(self, values_BLD: Tensor) -> Tensor:
        """Lay a padded batch out in rows, (R, row_length, D); free places hold 0."""
        width = values_BLD.shape[-1]
        flat_SD = values_BLD.new_zeros(self.num_rows * self.row_length, width)
        return flat_SD.index_copy(0, self.place_N, values_BLD[self.padding_mask_BL]).view(
            self.num_rows, self.row_length, width
        )

    def unpacked(self, rows_RSD: Tensor) -> Tensor:
        """Undo `packed`, (B, L, D); padding holds 0."""
        return padded(rows_RSD.flatten(0, 1)[self.place_N], self.padding_mask_BL)

    def position_ids(self) -> Tensor:
        """Count from 0 in each session, (R, row_length); 0 in free places, so each of them stands alone."""
        position_L = torch.arange(self.padding_mask_BL.shape[1], device=self.place_N.device)
        return self.numbers(position_L.expand_as(self.padding_mask_BL))

    def numbers(self, values_BL: Tensor) -> Tensor:
        """Lay whole numbers out in rows, (R, row_length); free places hold 0."""
        flat_S = self.place_N.new_zeros(self.num_rows * self.row_length)
        return flat_S.index_copy(0, self.place_N, values_BL[self.padding_mask_BL]).view(self.num_rows, -1)

    def same_session(self) -> Tensor:
        """Say which places of a row hold one session, (R, 1, row_length, row_length); free places see each other."""
        session_BL = torch.arange(1, len(self.padding_mask_BL) + 1, device=self.place_N.device)[:, None]
        session_RS = self.numbers(session_BL.expand_as(self.padding_mask_BL))
        return (session_RS[:, :, None] == session_RS[:, None, :])[:, None]


def padded(values_ND: Tensor, padding_mask_BL: Tensor) -> Tensor:
    """Lay the vectors of N real positions out, (B, L, D); padding holds 0."""
    # As masked_scatter(), whose gradient takes four times as long on CPUs.
    place_N = padding_mask_BL.flatten().nonzero()[:, 0]
    flat_SD = values_ND.new_zeros(padding_mask_BL.numel(), values_ND.shape[-1])
    return flat_SD.index_copy(0, place_N, values_ND).view(*padding_mask_BL.shape, -1)


def pack(padding_mask_BL: Tensor, row_length: int = ROW_LENGTH) -> Packing:
    """Pack the sessions of a padded batch; rows grow to the longest session where that is longer."""
    lengths_B = padding_mask_BL.sum(1)
    row_length = max(row_length, padding_mask_BL.shape[1])
    starts, num_rows = best_fit(lengths_B.cpu().numpy().tolist(), row_length)
    starts_B = torch.tensor(starts, device=padding_mask_BL.device)
    within_BL = torch.arange(padding_mask_BL.shape[1], device=padding_mask_BL.device)
    place_N = (starts_B[:, None] + within_BL)[padding_mask_BL]
    return Packing(place_N, num_rows, row_length, padding_mask_BL)


def best_fit(lengths: list[int], row_length: int) -> tuple[list[int], int]:
    """Put sessions, longest first, where the least room is left; give the first place of each and the rows used.

    Best-fit decreasing (Johnson 1974): a few per cent from the fewest rows.
    """
    rows_by_room: list[list[int]] = [[] for _ in range(row_length + 1)]
    starts, num_rows = [0] * len(lengths), 0
    for session in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[session]
        room = next((room for room in range(length, row_length + 1) if rows_by_room[room]), None)
        if room is None:
            row, room, num_rows = num_rows, row_length, num_rows + 1
        else:
            row = rows_by_room[room].pop()
        starts[session] = row * row_length + row_length - room
        rows_by_room[room - length].append(row)
    return starts, num_rows
