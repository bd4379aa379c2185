"""The command that makes a log up says what it wrote, and refuses what makes no log."""

from transformers4recsys import cli


def test_a_log_is_written_and_counted(tmp_path, capsys):
    words = ["--output", str(tmp_path / "log"), "--days", "1", "--sessions_per_day", "50", "--items", "60"]
    assert cli.main(["simulate", *words]) == 0
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["2019-10-01.parquet"]
    told = capsys.readouterr().err
    assert "events of 1 day\n" in told
    assert f"preprocess --recipe simulated --input {tmp_path / 'log'} --output days\n" in told


def test_an_output_must_be_given(capsys):
    assert cli.main(["simulate", "--days", "1"]) == 2
    assert capsys.readouterr().err == "error: --output must be given\n"
