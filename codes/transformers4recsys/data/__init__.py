"""From parquet day files to batches; ENGINES are the ways to read them, by name."""

from __future__ import annotations

from transformers4recsys.data.arrow_engine import ArrowEngine

ENGINES = {"pyarrow": ArrowEngine}
