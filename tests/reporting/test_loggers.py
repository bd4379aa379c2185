"""TensorBoard and W&B get all days of a run on one axis."""

import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from transformers4recsys.errors import InputError
from transformers4recsys.reporting.loggers import chosen_loggers, open_logger


def test_tensorboard_shows_all_days_on_one_axis(run_train, tmp_path):
    run_train("mine", end_date="2019-10-04", report_to="tensorboard", logging_steps=1)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_mine") and len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder)).Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 9
    days = events.Scalars("eval/recall@20")
    assert len(days) == 3 and days[-1].step == steps[-1]
    sections = {tag: tag.partition("/")[0] for tag in events.Tags()["scalars"]}
    assert min(sections.values()) == "eval"
    assert {tag.split("@")[0] for tag, section in sections.items() if section == "same_as_mrr"} == {
        "same_as_mrr/eval_avg_precision",
        "same_as_mrr/eval_most_popular_avg_precision",
        "same_as_mrr/train_train_avg_precision",
        "same_as_mrr/train_train_most_popular_avg_precision",
    }
    assert not [tag for tag, section in sections.items() if "avg_precision" in tag and section != "same_as_mrr"]


def test_tensorboard_runs_have_the_name_that_is_given(run_train, tmp_path):
    run_train("mine", end_date="2019-10-02", report_to="tensorboard", run_name="first try", experiments_group="all")
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_first try")


@pytest.mark.parametrize("mode", ["dryrun", "offline"])
def test_wandb_runs_without_an_account(mode, run_train, tmp_path, monkeypatch):
    # W&B reads the environment once a process.
    pytest.importorskip("wandb").teardown()
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(sys, "argv", ["recsys_main.py", "--data_path", "s3://name:secret@shop/days"])
    run_train(end_date="2019-10-02", report_to="wandb", logging_steps=1)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert not [path for path in run.rglob("*") if path.is_file() and b"name:secret" in path.read_bytes()]


def test_auto_takes_wandb_where_it_is_told_how_to_run(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert chosen_loggers(["auto"]) == ["tensorboard"]
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert chosen_loggers(["auto"]) == ["tensorboard", "wandb"]
    assert chosen_loggers([]) == []


def test_an_unknown_logger_is_refused():
    with pytest.raises(InputError, match="`report_to` printer"):
        open_logger("printer", group="g", run_name="r", settings={})
