"""Recommends over a Spark cluster: each worker process keeps one copy of the model, and answers its partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines.spark import Spark, uri
from transformers4recsys.recommender.recommender import Recommender
from transformers4recsys.recommender.session_files import ITEMS, SESSION

Batches = Iterable[pa.RecordBatch]


@lru_cache(maxsize=1)
def model_of_worker(run: str, model: str | None, dtype: str) -> Recommender:
    """Load the model on the CPU, once for all partitions that a process works on."""
    return Recommender.load(run, model=model, device="cpu", dtype=dtype)


def recommend_on_spark(
    run: str,
    files: Sequence[str],
    output: str,
    options: Mapping[str, Any],
    *,
    model: str | None,
    dtype: str,
    master: str | None,
) -> None:
    """Write the recommendations for parquet files of events or sessions to a folder of parquet parts.

    `options` are those of `Recommender.recommend`. The run folder and this package must be there on every worker. The
    events of a session, and those of a user where the model reads histories, go to one worker, whose memory holds a
    partition.
    """
    run = str(Path(run).expanduser().absolute())
    recommender, load = Recommender.load(run, model=model, device="cpu", dtype=dtype), (run, model, dtype)
    with TemporaryDirectory(prefix="transformers4recsys-") as folder:
        engine = Spark(Path(folder), master=master)
        # Whether it is installed has been found out; where types are checked it need not be.
        types: Any = import_module("pyspark.sql.pandas.types")

        try:
            frame: Any = engine.session.read.parquet(*map(_as_uri, files))
            has_lists = ITEMS in frame.columns and frame.schema[ITEMS].dataType.typeName() == "array"
            if has_lists and SESSION not in frame.columns:
                raise InputError(f"`input`: with `engine` spark, sessions need a column {SESSION}")
            # What the columns are is found out by a list of one row.
            one = frame.limit(1).toArrow().to_batches()
            if not has_lists:
                frame = frame.repartition(recommender.event_reader().partition_column)
            answer = _of_sessions if has_lists else _of_events
            found = next(answer(recommender, one, {**options, "k": 1}), recommender.recommend([]))
            schema = found.schema.remove_metadata()
            lists = frame.mapInArrow(_on_worker(load, answer, options, schema), types.from_arrow_schema(schema))
            lists.write.mode("overwrite").parquet(_as_uri(output))
        finally:
            engine.close()


def _on_worker(
    load: tuple[str, str | None, str],
    answer: Callable[[Recommender, Batches, Mapping[str, Any]], Iterator[pa.Table]],
    options: Mapping[str, Any],
    schema: pa.Schema,
) -> Callable[[Batches], Batches]:
    def work(batches: Batches) -> Batches:
        for table in answer(model_of_worker(*load), batches, options):
            yield from table.cast(schema).to_batches()

    return work


def _of_sessions(recommender: Recommender, batches: Batches, options: Mapping[str, Any]) -> Iterator[pa.Table]:
    filters = recommender.filters(**options)
    for batch in batches:
        request = recommender.request(batch.column(ITEMS).to_pylist(), batch.column(SESSION).to_pylist())
        yield recommender.recommend_request(request, filters).replace_schema_metadata(None)


def _of_events(recommender: Recommender, batches: Batches, options: Mapping[str, Any]) -> Iterator[pa.Table]:
    events = list(batches)
    if sum(map(len, events)):
        yield recommender.recommend(pa.Table.from_batches(events), **options).replace_schema_metadata(None)


def _as_uri(path: str) -> str:
    return path if "://" in path else uri(Path(path).expanduser())
