"""Recommending on Spark gives what one process gives."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.commands import recommend as command
from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender

pytest.importorskip("pyspark.sql", reason="pyspark is not installed: pip install '.[spark]'")
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not shutil.which("java"), reason="Java, which Spark runs on, is not installed"),
]


def in_order(table):
    return table.sort_by([("session", "ascending"), ("rank", "ascending")])


def test_events_and_sessions(train_on_shop, shop, tmp_path):
    run = train_on_shop(model_type="gru", session_aware=True)
    recommender = Recommender.load(run, device="cpu")
    log, output = shop / "log.parquet", tmp_path / "out.parquet"
    values = {"run": str(run), "k": 3, "exclude_seen": True, "engine": "spark", "spark_master": "local[2]"}

    command.run({**values, "input": [str(log)], "output": str(output)})
    expected = recommender.recommend(pq.read_table(log), 3, exclude_seen=True)
    found = pq.ParquetDataset(output).read().cast(expected.schema.remove_metadata())
    assert in_order(found).drop(["score"]).equals(in_order(expected).drop(["score"]).replace_schema_metadata(None))

    sessions = {"session": ["x", "y"], "items": [["sku-1", "sku-2"], ["sku-9", "new"]]}
    pq.write_table(pa.table(sessions), tmp_path / "sessions.parquet")
    command.run({**values, "input": [str(tmp_path / "sessions.parquet")], "output": str(output)})
    lists = recommender.recommend(sessions["items"], 3, exclude_seen=True)
    found = in_order(pq.ParquetDataset(output).read())
    assert found["session"].to_pylist() == ["x"] * 3 + ["y"] * 3 and found["item"] == lists["item"]

    with pytest.raises(InputError, match="`engine` spark reads and writes parquet"):
        command.run({**values, "input": [str(log)], "output": str(tmp_path / "out.csv")})
