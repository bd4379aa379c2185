import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.engines import table as engines
from transformers4recsys.preprocessing.engines.table import DatabaseChoice


def test_each_engine_gets_its_own_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "DuckDB", lambda folder, **given: ("duckdb", folder, given))
    monkeypatch.setattr(engines, "Spark", lambda folder, **given: ("spark", folder, given))
    choice = {"memory_limit": "1GB", "threads": 2, "spark_master": "local[3]"}
    assert DatabaseChoice(**choice).open(tmp_path) == ("duckdb", tmp_path, {"memory_limit": "1GB", "threads": 2})
    assert DatabaseChoice("spark", **choice).open(tmp_path) == ("spark", tmp_path, {"master": "local[3]"})


def test_an_engine_that_there_is_not_is_an_error(tmp_path):
    with pytest.raises(InputError, match="`engine` 'polars' is unknown; choose one of duckdb, spark"):
        DatabaseChoice("polars")
