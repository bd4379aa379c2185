"""From parquet day files to batches; ENGINES are the ways to read them, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from transformers4recsys.data import nvtabular_engine, petastorm_engine
from transformers4recsys.data.arrow_engine import ArrowEngine
from transformers4recsys.data.engine import Engine
from transformers4recsys.data.held_engine import HeldEngine

ENGINES: dict[str, Callable[..., Engine]] = {
    "pyarrow": ArrowEngine,
    "nvtabular": partial(HeldEngine, read_tables=nvtabular_engine.read_tables),
    "petastorm": partial(HeldEngine, read_tables=petastorm_engine.read_tables),
}
