"""`train_on_last_day`: the model that stays has seen the last day, and is evaluated when the next one comes."""

import json

import pytest
import safetensors.torch
import torch

LAST = {"train_on_last_day": True}


def numbers_of(folder):
    return (folder / "eval_train_results_dates.csv").read_text()


def progress_of(folder):
    return json.loads((folder / "progress.json").read_text())


def tensors_of(folder):
    names = ("model.safetensors", "training_state.safetensors")
    return {key: value for name in names for key, value in safetensors.torch.load_file(folder / name).items()}


def test_it_trains_on_the_last_day_after_its_evaluation(run_train):
    plain, longer = run_train("plain"), run_train("longer", **LAST)
    assert numbers_of(longer) == numbers_of(plain)
    assert progress_of(plain)["last_day"] == "2019-10-02T00:00:00"
    progress = progress_of(longer)
    assert progress["last_day"] == "2019-10-03T00:00:00" and progress["awaits_evaluation"]
    assert "eval_ndcg@20" in progress["days"][1] and "eval_ndcg@20" not in progress["days"][2]
    assert tensors_of(longer)["item_counts"].sum() > tensors_of(plain)["item_counts"].sum()


@pytest.mark.parametrize("validates", [-1, 1])
def test_the_day_that_comes_later_is_evaluated_once_as_if_it_had_been_there(validates, run_train):
    flags = {**LAST, "dropout": 0.3, "shuffle_buffer_size": 100, "validate_every": validates}
    whole = run_train("whole", end_date="2019-10-04", **flags)
    parts = run_train("parts", **flags)
    parts = run_train("parts", resume_from_checkpoint="true", end_date="2019-10-04", **flags)
    first, second = tensors_of(whole), tensors_of(parts)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert numbers_of(parts) == numbers_of(whole) and numbers_of(whole).count("\n2019") == 3
    assert progress_of(parts) == progress_of(whole)
    if validates == 1:
        return  # There is nothing to validate on while the last day is trained on.
    history = [json.loads((folder / "trainer_state.json").read_text())["log_history"] for folder in (parts, whole)]
    assert [entry["step"] for entry in history[0]] == [entry["step"] for entry in history[1]]


def test_without_training_on_the_new_day_its_evaluation_is_kept(run_train):
    before = tensors_of(run_train("out", **LAST))
    out = run_train("out", resume_from_checkpoint="true", end_date="2019-10-04")
    after, whole = tensors_of(out), run_train("whole", end_date="2019-10-04")
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert progress_of(out) == progress_of(whole) and numbers_of(out) == numbers_of(whole)


def test_a_window_says_what_it_joins(run_train, toy_days, capsys):
    for split in ("train", "valid", "test"):
        (toy_days / f"session_start_date=2019-10-02-{split}.parquet").unlink()
    run_train("out", end_date="2019-10-04", missing_days="skip", training_time_window_size=2, **LAST)
    said = [line for line in capsys.readouterr().err.splitlines() if "window joins" in line]
    assert len(said) == 1 and "2019-10-03" in said[0] and "2019-10-02" in said[0]
