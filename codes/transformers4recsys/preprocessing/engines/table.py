"""The databases by name, and how each is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.engines.spark import Spark
from transformers4recsys.settings import check, setting


@dataclass(frozen=True)
class DatabaseChoice:
    """Database: which one does the work, and what it may use"""

    engine: str = setting("duckdb", "database that does the work", choices=lambda: DATABASES)
    memory_limit: str = setting(
        "3GB",
        "memory of DuckDB, which also makes the report; what does not fit goes to the disk",
        is_bytes=True,
    )
    threads: int = setting(0, "threads of DuckDB; 0 for one a core", at_least=0)
    spark_master: str | None = setting(
        None,
        "master for `engine` spark, such as local[2] [what spark-submit says, else local[*]]",
        used_if=lambda settings: settings.engine == "spark",
        unused_because="`engine` duckdb does not use it",
    )
    temp_directory: str | None = setting(None, "folder for what does not fit in memory; the output folder without it")

    def __post_init__(self) -> None:
        check(self)

    def folder_for(self, output: Path) -> Path:
        """The folder for what does not fit in memory; InputError if the one that was given is not there."""
        if not self.temp_directory:
            return output
        folder = Path(self.temp_directory).expanduser()
        if not folder.is_dir():
            raise InputError(f"`temp_directory` {folder} is not a folder; make it, or leave the setting out")
        return folder

    def open(self, folder: Path) -> Database:
        """Open the database; `folder` takes what it keeps outside of memory."""
        return DATABASES[self.engine](folder, self)


DATABASES: dict[str, Callable[[Path, DatabaseChoice], Database]] = {
    "duckdb": lambda folder, given: DuckDB(folder, memory_limit=given.memory_limit, threads=given.threads),
    "spark": lambda folder, given: Spark(folder, master=given.spark_master),
}
