"""W&B without a key, a network or the package: training goes on, its log stays here, and one line says so."""

import os
import socket
import sys
import threading

import pytest

from transformers4recsys.reporting import wandb_runs
from transformers4recsys.reporting.loggers import chosen_loggers

KEY = "0" * 40


@pytest.fixture
def no_wandb_settings(monkeypatch, tmp_path):
    """An account nobody has set up."""
    # W&B reads the environment once a process.
    pytest.importorskip("wandb").teardown()
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DISABLED", "WANDB_BASE_URL", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # What the program sets for W&B ends with the test.
    for name in ("WANDB_INIT_TIMEOUT", "WANDB_FINISH_TIMEOUT", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.mark.parametrize("mode", ["dryrun", "offline"])
def test_wandb_runs_without_an_account(mode, no_wandb_settings, run_train, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setattr(sys, "argv", ["recsys_main.py", "--data_path", "s3://name:secret@shop/days"])
    run_train(end_date="2019-10-02", report_to="wandb", logging_steps=1)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert not [path for path in run.rglob("*") if path.is_file() and b"name:secret" in path.read_bytes()]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "there is no API key"),
        ({"WANDB_API_KEY": "short"}, "API key"),
        ({"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9 does not answer"),
    ],
)
def test_a_run_that_cannot_be_online_is_offline(environment, said, no_wandb_settings, run_train, monkeypatch, capsys):
    monkeypatch.setattr(wandb_runs, "_answers", lambda server: "127.0.0.1" not in server)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = run_train(end_date="2019-10-02", report_to="wandb")
    error = " ".join(capsys.readouterr().err.split())
    assert error.count("W&B is offline, the log is kept in wandb/") == 1 and said in error
    assert KEY not in error and "short" not in error
    assert "WANDB_MODE" not in os.environ, "W&B warns of a variable that is set after its address was asked for"
    assert list(folder.parent.glob("wandb/offline-run-*/*.wandb"))
    assert (folder / "model.safetensors").exists()


@pytest.mark.parametrize("setting", [{"WANDB_DISABLED": "true"}, {"WANDB_MODE": "disabled"}])
def test_a_run_that_the_environment_disables_is_in_tensorboard(
    setting, no_wandb_settings, run_train, monkeypatch, capsys
):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    folder = run_train(end_date="2019-10-02", report_to="wandb")
    assert "W&B is disabled by the environment" in " ".join(capsys.readouterr().err.split())
    assert not (folder.parent / "wandb").exists() and len(list((folder.parent / "runs").iterdir())) == 1


def test_a_folder_of_that_name_is_not_the_package(run_train, tmp_path, monkeypatch, capsys):
    (tmp_path / "wandb").mkdir()
    path = [str(tmp_path), *(entry for entry in sys.path if "site-packages" not in entry)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", path)
        patch.delitem(sys.modules, "wandb", raising=False)
        assert not wandb_runs.is_installed()
    monkeypatch.setattr(wandb_runs, "is_installed", lambda: False)
    folder = run_train(end_date="2019-10-02", report_to="wandb")
    assert "W&B is not installed" in " ".join(capsys.readouterr().err.split())
    assert len(list((folder.parent / "runs").iterdir())) == 1


def test_a_server_answers_where_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert wandb_runs._answers(address)
    assert not wandb_runs._answers(address)


def test_a_server_that_keeps_silent_is_not_waited_for(monkeypatch):
    test_has_ended = threading.Event()

    def connect(*_):
        test_has_ended.wait()
        raise TimeoutError

    monkeypatch.setattr(wandb_runs, "SECONDS_TO_ANSWER", 0.01)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert not wandb_runs._answers("https://192.0.2.1")
    test_has_ended.set()


def test_auto_takes_wandb_where_it_is_set_up(no_wandb_settings, monkeypatch):
    assert chosen_loggers(["auto"]) == ["tensorboard"]
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert chosen_loggers(["auto"]) == ["tensorboard", "wandb"]
    assert chosen_loggers([]) == []
