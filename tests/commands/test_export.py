import pytest

from transformers4recsys import cli

for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="the extra `onnx` is not installed")


def test_a_run_becomes_a_file_and_the_console_says_how_close_it_is(run_train, tmp_path, capsys):
    run = run_train()
    output = tmp_path / "exported" / "model.onnx"

    assert cli.main(["export", "--run", str(run), "--output", str(output), "--k", "5"]) == 0

    assert output.exists() and output.with_suffix(".json").exists()
    assert "gives the lists of the model; scores differ by up to" in capsys.readouterr().err
