"""Attention weights of a few sessions as pictures: a square a layer and head, a row a position that reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from transformers4recsys.reporting.attention import ATTENTION_WEIGHTS
from transformers4recsys.reporting.charts import COLOURS

SESSIONS, POSITIONS, HEADS = 4, 20, 8
CELL = 11


@dataclass(frozen=True)
class AttendedSession:
    """A session's items, and its weights by name of layer and head, (L, L) each: row q says what position q reads."""

    items: list[str]
    weights: dict[str, np.ndarray]


def attended_sessions(folder: Path, raw_ids: Sequence[Any] | None) -> list[AttendedSession]:
    """Read the longest sessions of the last file of attention weights in a run's folder, if there is one."""
    files = sorted((folder / ATTENTION_WEIGHTS).glob("*.safetensors"))
    if not files:
        return []
    tensors = load_file(files[-1])
    inputs = tensors.pop("inputs")
    layers = sorted(tensors, key=lambda name: int(name.removeprefix("layer_")))
    lengths = (inputs != 0).sum(1)
    sessions: list[AttendedSession] = []
    for row in np.argsort(-lengths, kind="stable")[:SESSIONS]:
        places = np.flatnonzero(inputs[row])[-POSITIONS:]
        items = [str(raw_ids[i]) if raw_ids and i < len(raw_ids) else str(i) for i in inputs[row, places].tolist()]
        weights = {
            f"layer {number + 1}, head {head + 1}": tensors[name][row, head][np.ix_(places, places)]
            for number, name in enumerate(layers)
            for head in range(min(tensors[name].shape[1], HEADS))
        }
        sessions.append(AttendedSession(items, weights))
    return sessions


def picture(session: AttendedSession, name: str) -> str:
    """Draw one head: the stronger a cell, the more its row's position reads of its column's.

    The opacity is the root of the weight, so that weights spread over a long session can be seen.
    """
    size = CELL * len(session.items)
    cells = [
        f'<rect x="{CELL * k}" y="{CELL * q}" width="{CELL}" height="{CELL}" fill="{COLOURS[0]}" '
        f'fill-opacity="{weight**0.5:.2f}"><title>{escape(session.items[q])} reads {escape(session.items[k])}: '
        f"{weight:.3f}</title></rect>"
        for q, row in enumerate(session.weights[name])
        for k, weight in enumerate(row)
        if weight >= 0.005
    ]
    border = 'fill="none" stroke="currentColor" stroke-opacity=".3" vector-effect="non-scaling-stroke"'
    frame = f'<rect width="{size}" height="{size}" {border}/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {size + 2} {size + 2}" role="img" '
        f'aria-label="{escape(name)}">{frame}{"".join(cells)}</svg>'
    )
