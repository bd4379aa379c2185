"""Several sessions in one row: where each one goes when a batch is packed without most of its padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transformers4recsys.batch import moved

ROW_LENGTH = 64


@dataclass(frozen=True)
class Packing:
    """N real positions of B sessions in R rows of `row_length` places; all but the mask is where the inputs are."""

    place_N: Tensor  # of each real position among the R x row_length places, session by session
    real_N: Tensor  # of the same among the B x L places of the padded batch
    num_rows: int
    row_length: int
    padding_mask_BL: Tensor  # on the CPU

    def packed(self, values_BLD: Tensor) -> Tensor:
        """Lay a padded batch out in rows, (R, row_length, D); free places hold 0."""
        width = values_BLD.shape[-1]
        values_ND = values_BLD.flatten(0, 1).index_select(0, self.real_N)
        flat_SD = values_ND.new_zeros(self.num_rows * self.row_length, width)
        return flat_SD.index_copy(0, self.place_N, values_ND).view(self.num_rows, self.row_length, width)

    def unpacked(self, rows_RSD: Tensor) -> Tensor:
        """Undo `packed`, (B, L, D); padding holds 0."""
        values_ND = rows_RSD.flatten(0, 1).index_select(0, self.place_N)
        return _laid_out(values_ND, self.real_N, self.padding_mask_BL.shape)

    def position_ids(self) -> Tensor:
        """Count from 0 in each session, (R, row_length); 0 in free places, so each of them stands alone."""
        position_L = torch.arange(self.padding_mask_BL.shape[1])
        return self.numbers(position_L.expand_as(self.padding_mask_BL))

    def numbers(self, values_BL: Tensor) -> Tensor:
        """Lay whole numbers, on the CPU, out in rows, (R, row_length); free places hold 0."""
        values_N = moved(values_BL[self.padding_mask_BL], self.place_N.device)
        flat_S = self.place_N.new_zeros(self.num_rows * self.row_length)
        return flat_S.index_copy(0, self.place_N, values_N).view(self.num_rows, -1)

    def same_session(self) -> Tensor:
        """Say which places of a row hold one session, (R, 1, row_length, row_length); free places see each other."""
        session_BL = torch.arange(1, len(self.padding_mask_BL) + 1)[:, None]
        session_RS = self.numbers(session_BL.expand_as(self.padding_mask_BL))
        return (session_RS[:, :, None] == session_RS[:, None, :])[:, None]

    def sees_earlier(self) -> Tensor:
        """Say which places see which: those of the same session that are not later, (R, 1, row_length, row_length)."""
        place_S = torch.arange(self.row_length, device=self.place_N.device)
        return self.same_session() & (place_S[:, None] >= place_S)


def padded(values_ND: Tensor, padding_mask_BL: Tensor) -> Tensor:
    """Lay the vectors of N real positions out, (B, L, D); padding holds 0. The mask is best on the CPU."""
    return _laid_out(values_ND, real_places(padding_mask_BL, values_ND.device), padding_mask_BL.shape)


def real_places(mask_BL: Tensor, device: torch.device) -> Tensor:
    """Number the true ones among all B x L places, (N,); no device waits where the mask is on the CPU."""
    return moved(mask_BL.flatten().nonzero()[:, 0], device)


def _laid_out(values_ND: Tensor, real_N: Tensor, shape: torch.Size) -> Tensor:
    # As masked_scatter(), whose gradient takes four times as long on CPUs.
    flat_SD = values_ND.new_zeros(shape.numel(), values_ND.shape[-1])
    return flat_SD.index_copy(0, real_N, values_ND).view(*shape, -1)


def pack(padding_mask_BL: Tensor, row_length: int = ROW_LENGTH, *, device: torch.device | str = "cpu") -> Packing:
    """Pack the sessions of a padded batch on a device; rows grow to the longest session where that is longer."""
    padding_mask_BL = padding_mask_BL.cpu()
    row_length = max(row_length, padding_mask_BL.shape[1])
    starts, num_rows = best_fit(padding_mask_BL.sum(1).numpy().tolist(), row_length)
    place_BL = torch.tensor(starts)[:, None] + torch.arange(padding_mask_BL.shape[1])
    place_N, real_N = moved(place_BL[padding_mask_BL], device), real_places(padding_mask_BL, torch.device(device))
    return Packing(place_N, real_N, num_rows, row_length, padding_mask_BL)


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
