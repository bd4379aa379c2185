"""Writes the log of a made-up shop and says what it holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from transformers4recsys.settings import from_values
from transformers4recsys.simulation.simulate import SimulateSettings, simulate
from transformers4recsys.terminal import counted, progress_bar

log = logging.getLogger(__name__)

SETTINGS = SimulateSettings


def run(values: Mapping[str, Any]) -> None:
    """Write the log of a made-up shop and say what it holds."""
    settings = from_values(SimulateSettings, values)
    counts: list[int] = []
    with progress_bar("simulate", settings.days) as advance:

        def count(day: str, num_events: int) -> None:
            counts.append(num_events)
            advance()

        simulate(settings, on_day=count)
    log.info("%s: %s of %s", settings.output, counted(sum(counts), "event"), counted(len(counts), "day"))
    following = f"transformers4recsys preprocess --recipe simulated --input {settings.output} --output days"
    log.info("now make sessions: %s", following)
