"""From parquet day files to batches; READERS are the libraries that can read them, by name."""

from __future__ import annotations

from transformers4recsys.data.readers.library import Library
from transformers4recsys.data.readers.nvtabular import NVTABULAR
from transformers4recsys.data.readers.petastorm import PETASTORM

# pyarrow needs no other library.
READERS: dict[str, Library | None] = {"pyarrow": None, "nvtabular": NVTABULAR, "petastorm": PETASTORM}
