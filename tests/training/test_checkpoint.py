"""A finished day can be gone on from; anything else is refused with words."""

import json
import os
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.training import checkpoint
from transformers4recsys.training.checkpoint import load_weights, read_progress


def test_progress_names_the_last_trained_day_and_all_steps(run_train):
    folder = run_train(end_date="2019-10-04", dataloader_drop_last=True)
    progress = read_progress(folder)
    assert progress.last_day == "2019-10-03T00:00:00"
    steps = json.loads((folder / "trainer_state.json").read_text())["global_step"]
    assert progress.num_steps > 2 * steps - 1 > 0


def test_a_folder_without_a_finished_day_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished day to go on from"):
        read_progress(tmp_path)


def test_files_of_different_days_are_refused(run_train):
    folder = run_train()
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"last_day": "2000-01-01"})
    with pytest.raises(InputError, match="different days"):
        read_progress(folder)


@pytest.mark.parametrize(("num_moves", "last_day"), [(3, 1), (4, 2), (5, 2)])
def test_a_kill_while_a_day_is_put_in_place_leaves_one_whole_day(num_moves, last_day, run_train, tmp_path, monkeypatch):
    moves = iter(range(num_moves))

    def move_or_die(source, target):
        if next(moves, None) is None:
            raise KeyboardInterrupt
        os.replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "os", SimpleNamespace(replace=move_or_die))
        run_train(output_dir=tmp_path / "killed")
    expected = f"2019-10-0{last_day}T00:00:00"
    assert read_progress(tmp_path / "killed").last_day == expected
    assert torch.load(tmp_path / "killed" / "optimizer.pt", weights_only=True)["last_day"] == expected
    run_train(output_dir=tmp_path / "killed", end_date="2019-10-02", resume_from_checkpoint="true")
    assert not list((tmp_path / "killed").glob(".*"))


def test_weights_of_another_shape_are_refused(run_train, schema, make_model):
    folder = run_train()
    with pytest.raises(InputError, match="trained with other flags"):
        load_weights(make_model(schema, "gru"), folder)
    with pytest.raises(InputError, match="has no model.safetensors"):
        load_weights(make_model(schema, "gru"), folder / "pred_logs")
