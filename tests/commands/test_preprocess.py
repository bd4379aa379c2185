"""The two commands that make logs and day files reach their steps with every flag."""

import json

import pytest

from transformers4recsys import cli
from transformers4recsys.commands.preprocess import unused_engine_flags
from transformers4recsys.config import PreprocessArguments
from transformers4recsys.errors import InputError


def test_a_simulated_log_becomes_day_files(tmp_path, capsys):
    log, days = tmp_path / "log", tmp_path / "days"
    cli.main(["simulate", "--output", str(log), "--days", "2", "--sessions_per_day", "50", "--items", "60"])
    assert len(list(log.rglob("*.parquet"))) == 2
    columns = ["--item_column", "product_id", "--time_column", "event_time", "--session_column", "user_session"]
    cli.main(["preprocess", "--input", str(log), "--output", str(days), "--session_length_max", "3", *columns])
    assert len(list(days.glob("session_start_date=2019-10-0[12]-train.parquet"))) == 2
    assert json.loads((days / "preprocessing.json").read_text())["settings"]["session_length_max"] == 3


def test_a_decay_that_says_nothing_is_told(tmp_path, capsys):
    log, days = tmp_path / "log", tmp_path / "days"
    cli.main(["simulate", "--output", str(log), "--days", "1", "--sessions_per_day", "50", "--items", "60"])
    flags = ["--item_column", "product_id", "--time_column", "event_time", "--session_column", "user_session"]
    flags += ["--neg_samples", "1", "--neg_decay", "0.5"]
    cli.main(["preprocess", "--input", str(log), "--output", str(days), *flags])
    assert "--neg_decay has no effect: --neg_strategy uniform" in capsys.readouterr().err
    cli.main(["preprocess", "--input", str(log), "--output", f"{days}2", *flags, "--neg_strategy", "recency"])
    assert "--neg_decay has no effect" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("engine", "report", "idle"),
    [("duckdb", False, ["spark_master"]), ("spark", False, ["memory_limit", "threads"]), ("spark", True, [])],
)
def test_flags_of_the_other_engine_are_told(engine, report, idle):
    given = {"input": ["log"], "output": "days", "engine": engine, "report": report}
    assert unused_engine_flags(PreprocessArguments(**given)) == []
    settings = {"memory_limit": "1GB", "threads": 2, "spark_master": "local[3]"}
    assert unused_engine_flags(PreprocessArguments(**given, **settings)) == idle


def test_a_size_that_is_none_is_refused_before_anything_is_read():
    with pytest.raises(InputError, match="--memory_limit much: write a size"):
        PreprocessArguments(input=["log"], output="days", memory_limit="much")
