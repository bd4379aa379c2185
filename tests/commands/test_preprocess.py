"""The two commands that make logs and day files reach their steps with every flag."""

import json

import pytest

from transformers4recsys import cli
from transformers4recsys.commands.preprocess import unused_settings_of_the_database
from transformers4recsys.preprocessing.engines.table import DatabaseChoice


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
    assert unused_settings_of_the_database(DatabaseChoice(engine), makes_report=report) == []
    settings = DatabaseChoice(engine, memory_limit="1GB", threads=2, spark_master="local[3]")
    assert unused_settings_of_the_database(settings, makes_report=report) == idle


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--memory_limit much", "--memory_limit much: write a size"),
        ("--engine duckbd", "--engine 'duckbd' is unknown; did you mean duckdb?"),
        ("--fit_days x", "--fit_days 'x': expected a whole number"),
        ("--recipe none.yaml", "none.yaml"),
        ("--output", "--output 'true': expected text"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(flags, words, tmp_path, capsys):
    (tmp_path / "log.csv").touch()
    log, days = str(tmp_path / "log.csv"), str(tmp_path / "days")
    assert cli.main(["preprocess", "--input", log, "--output", days, *flags.split()]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "days").exists()


def test_an_input_that_is_missing_is_told_before_columns_that_are(tmp_path, capsys):
    nothing, pattern = str(tmp_path / "nothing"), str(tmp_path / "*.csv")
    for path in (nothing, pattern):
        assert cli.main(["preprocess", "--input", path, "--output", str(tmp_path / "days")]) == 2
        assert f"--input {path}: there is no such file or folder" in capsys.readouterr().err
    (tmp_path / "log.csv").touch()
    for path in (str(tmp_path), pattern):
        assert cli.main(["preprocess", "--input", path, "--output", str(tmp_path / "days")]) == 2
        assert "--item_column is not given" in capsys.readouterr().err


def test_a_recipe_file_and_flags_are_converted_alike(tmp_path, capsys):
    log, days = tmp_path / "log", tmp_path / "days"
    cli.main(["simulate", "--output", str(log), "--days", "2", "--sessions_per_day", "50", "--items", "60"])
    (tmp_path / "recipe.yaml").write_text(
        "item_column: product_id\ntime_column: event_time\nsession_column: user_session\nspare_ids: 1e-1\n"
        "event_types: []\nsession_length_max: 9\n",
        encoding="utf-8-sig",
    )
    words = ["--input", str(log), "--output", str(days), "--recipe", str(tmp_path / "recipe.yaml")]
    assert cli.main(["preprocess", *words, "--session_length_max", "4"]) == 0
    settings = json.loads((days / "preprocessing.json").read_text())["settings"]
    assert (settings["spare_ids"], settings["event_types"], settings["session_length_max"]) == (0.1, [], 4)
