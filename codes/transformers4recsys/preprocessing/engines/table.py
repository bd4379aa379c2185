"""The databases by name, and how each is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.engines.spark import Spark


@dataclass(frozen=True)
class DatabaseChoice:
    """Which database, and what it may use: memory and threads count for DuckDB, the master for Spark."""

    name: str = "duckdb"
    memory_limit: str = "3GB"
    threads: int = 0
    spark_master: str | None = None

    def open(self, folder: Path) -> Database:
        """Open the database; `folder` takes what it keeps outside of memory."""
        if self.name not in DATABASES:
            raise InputError(f"`engine` {self.name!r}: allowed are {', '.join(DATABASES)}")
        return DATABASES[self.name](folder, self)


DATABASES: dict[str, Callable[[Path, DatabaseChoice], Database]] = {
    "duckdb": lambda folder, given: DuckDB(folder, memory_limit=given.memory_limit, threads=given.threads),
    "spark": lambda folder, given: Spark(folder, master=given.spark_master),
}
