"""Small logs, and a database to work on them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.expr import types as ir

from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.recipe import Recipe


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DuckDB]:
    """An empty database of one thread."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    database = DuckDB(folder, memory_limit="500MB", threads=1)
    yield database
    database.close()


@pytest.fixture
def table(database: DuckDB) -> Callable[..., ir.Table]:
    """Columns of Python values become a table of the database."""
    numbers = iter(range(1000))

    def make(types: dict[str, pa.DataType] | None = None, **columns: list[Any]) -> ir.Table:
        arrays = {name: pa.array(values, (types or {}).get(name)) for name, values in columns.items()}
        return database.keep(f"made {next(numbers)}", ibis.memtable(pa.table(arrays)))

    return make


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A recipe for the logs of `write_log`, changed where a test says so."""

    def make(**settings: Any) -> Recipe:
        return Recipe(**({"item_column": "product", "time_column": "time", "session_column": "visit"} | settings))

    return make


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """Rows of (visit, "MM-DD HH:MM:SS", product) and more columns become a parquet file of events of 2024."""

    def write(rows: list[tuple], *more: str, name: str = "log.parquet") -> Path:
        columns = dict(zip(("visit", "time", "product", *more), map(list, zip(*rows, strict=True)), strict=True))
        columns["time"] = [datetime.fromisoformat(f"2024-{time}") if time else None for time in columns["time"]]
        path = tmp_path / "logs" / name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
        return path

    return write


@pytest.fixture
def day_file(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a day file below `days`, or of the output folder given."""

    def read(day: str, split: str = "train", output: str = "days") -> list[dict[str, Any]]:
        return pq.read_table(tmp_path / output / f"session_start_date={day}-{split}.parquet").to_pylist()

    return read


@pytest.fixture
def shop() -> Recipe:
    """The recipe of `random_log`."""
    return Recipe(
        item_column="product",
        time_column="time",
        session_column="visit",
        user_column="user",
        category_column="category",
        price_column="price",
        categorical_columns=["brand"],
        session_length_max=4,
        past_length_max=5,
    )


@pytest.fixture
def random_log() -> Callable[[int], list[dict[str, Any]]]:
    """Four days with ties, repeats, nulls, unicode, sessions over midnight, and users with sessions side by side."""

    def make(seed: int) -> list[dict[str, Any]]:
        draw = random.Random(seed)
        products = {
            f"p{i}é": (f"c{i % 4}", draw.choice([None, "ACME", "Öl"]), draw.choice([None, 5.0, 7.25, 99.9]))
            for i in range(30)
        }
        log = []
        for number in range(80):
            start = datetime(2024, 1, 5) + timedelta(seconds=draw.randrange(4 * 86_400 - 3600))
            user = draw.choice([None, *range(1, 7)])
            for _ in range(draw.randrange(1, 9)):
                start += timedelta(seconds=draw.choice([0, 0, 1, 60, 900]))
                product = draw.choice([*list(products)[:8], *products, None])
                category, brand, price = products.get(product, (None, None, None))
                log.append(
                    {
                        "visit": f"v{number * 7919 % 80:02}",
                        "user": user,
                        "time": draw.choice([start] * 20 + [None]),
                        "product": product,
                        "category": category,
                        "brand": brand,
                        "price": price,
                    }
                )
        draw.shuffle(log)
        return log

    return make


@pytest.fixture
def write_events() -> Callable[[list[dict[str, Any]], Path], Path]:
    """Events of `random_log` become a parquet file."""

    def write(log: list[dict], path: Path) -> Path:
        path.parent.mkdir(exist_ok=True)
        schema = pa.schema({"visit": "string", "user": "int64", "time": pa.timestamp("us"), "product": "string"})
        for name, kind in (("category", pa.string()), ("brand", pa.string()), ("price", pa.float64())):
            schema = schema.append(pa.field(name, kind))
        pq.write_table(pa.Table.from_pylist(log, schema=schema), path)
        return path

    return write


KILLED = """
import os, signal, sys
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.pipeline import Pipeline
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess

def write(*bundle):
    whole(*bundle)
    os.kill(os.getpid(), signal.SIGKILL)

whole, Pipeline._write_days = Pipeline._write_days, write
recipe = Recipe(item_column="product", time_column="time", session_column="visit", user_column=sys.argv[4] or None)
preprocess(LogSettings(sys.argv[1], sys.argv[2]), recipe, DatabaseChoice(engine=sys.argv[3]))
"""


@pytest.fixture
def kill_while_writing() -> Callable[..., None]:
    """A call in a process of its own, which SIGKILL ends when its days are written aside, and none is renamed."""

    def run(log: Path, output: Path, *, engine: str = "duckdb", user_column: str = "") -> None:
        command = [sys.executable, "-c", KILLED, str(log), str(output), engine, user_column]
        code = Path(__file__).parents[2] / "codes"
        ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(code)}, check=False)
        assert ended.returncode == -signal.SIGKILL

    return run
