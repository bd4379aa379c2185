import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import uvicorn  # noqa: E402

from transformers4recsys import cli  # noqa: E402


def test_the_server_listens_where_it_is_told_to_and_warns_of_open_doors(run_train, monkeypatch, capsys):
    run, calls = str(run_train()), []
    monkeypatch.setattr(uvicorn, "run", lambda app, **settings: calls.append((settings["host"], settings["port"])))

    assert cli.main(["serve", "--run", run]) == 0
    assert "open to other machines" not in capsys.readouterr().err
    assert cli.main(["serve", "--run", run, "--host", "0.0.0.0", "--port", "9000"]) == 0
    assert "--host 0.0.0.0 is open to other machines, and no --token_file protects it" in capsys.readouterr().err

    assert calls == [("127.0.0.1", 8080), ("0.0.0.0", 9000)]


def test_a_folder_that_is_not_a_run_is_named(tmp_path, capsys):
    assert cli.main(["serve", "--run", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
