"""The command measures, shows a table, and writes CSV and picture; what cannot be measured is refused."""

import pytest

from transformers4recsys import cli

SMALL = "--sessions 100 --steps 1 --repeats 1 --threads 1 --d_model 8 --n_layer 1 --n_head 2 --batch_size 8"


def test_benchmark(tmp_path, capsys):
    line = f"benchmark --output {tmp_path}/out --items 30 --precisions fp32 --model_type gru {SMALL}"
    assert cli.main(line.split()) == 0
    assert "fp32" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["benchmark.csv", "benchmark.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [("--precisions int3", "--precisions 'int3' is unknown"), ("--baseline none.py", "none.py is not there")],
)
def test_refuses(flags, message, tmp_path, capsys):
    assert cli.main(["benchmark", "--output", str(tmp_path / "out"), *flags.split()]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
