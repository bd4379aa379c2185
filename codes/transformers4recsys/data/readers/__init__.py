"""From parquet day files to batches; READERS are the libraries that can read them, by name."""

from __future__ import annotations

from dataclasses import dataclass

from transformers4recsys.data.readers.library import Library, Reading
from transformers4recsys.data.readers.nvtabular import NVTABULAR
from transformers4recsys.data.readers.petastorm import PETASTORM
from transformers4recsys.settings import changed, check, choose, part, setting

# pyarrow needs no other library.
READERS: dict[str, Library | None] = {"pyarrow": None, "nvtabular": NVTABULAR, "petastorm": PETASTORM}
USED_BY_PYARROW = ("workers_count",)


@dataclass(frozen=True)
class ReaderSettings:
    """Reader: what reads the day files, and in which order"""

    data_loader_engine: str = setting(
        "pyarrow",
        "reader; nvtabular and petastorm have an environment of their own",
        choices=lambda: READERS,
    )
    shuffle_buffer_size: int = setting(
        0,
        "> 0 shuffles the training rows: all together where they fit in memory, else in blocks of this many rows, at "
        "most a fifth of `loader_memory`",
        at_least=0,
    )
    reading: Reading = part(Reading)

    def __post_init__(self) -> None:
        check(self)

    @property
    def library(self) -> Library | None:
        """The library that reads in place of pyarrow, if one was chosen."""
        return choose(READERS, self.data_loader_engine, "data_loader_engine")

    def unused(self) -> dict[str, str]:
        """Give the settings of other readers that were changed, each with the reason that they have no effect."""
        used = ("loader_memory", *(self.library.used_settings if self.library else USED_BY_PYARROW))
        reason = f"`data_loader_engine` {self.data_loader_engine} has no such setting"
        return {name: reason for name in changed(self.reading) if name not in used}
