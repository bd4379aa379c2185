"""From parquet day files to batches; ENGINES are the libraries that can read them, by name."""

from __future__ import annotations

from transformers4recsys.data.library import Library
from transformers4recsys.data.nvtabular_engine import NVTABULAR
from transformers4recsys.data.petastorm_engine import PETASTORM

# pyarrow needs no other library.
ENGINES: dict[str, Library | None] = {"pyarrow": None, "nvtabular": NVTABULAR, "petastorm": PETASTORM}
