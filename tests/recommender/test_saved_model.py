import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.saved_model import saved_model
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.tensor_file import TensorFile


def test_the_model_of_a_run_has_its_weights(run_train):
    run = RunFolder.open(run_train(end_date="2019-10-02"))
    model, weights = saved_model(run), run.weights()
    assert set(model.state_dict()) == set(weights)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.item_counts.sum() > 0


def test_a_run_from_before_sessions_were_counted_can_recommend(run_train, tmp_path, monkeypatch):
    run = RunFolder.open(run_train(end_date="2019-10-02"))
    earlier = {name: value for name, value in run.weights().items() if name != "session_counts"}
    safetensors.torch.save_file(earlier, tmp_path / "weights")
    monkeypatch.setattr(RunFolder, "weights", lambda self: TensorFile((tmp_path / "weights").open("rb")))
    model = saved_model(run)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in earlier.items())
    assert not model.session_counts.any()


def test_weights_of_another_size_are_refused(run_train):
    run = RunFolder.open(run_train(end_date="2019-10-02"))
    settings = {**run.settings, "model": {**run.settings["model"], "d_model": 8}}
    with pytest.raises(InputError, match="do not fit"):
        saved_model(replace(run, settings=settings))


def test_a_run_that_began_with_another_one_needs_it_no_more(run_train, tmp_path):
    first = run_train("first", end_date="2019-10-02")
    second = run_train("second", end_date="2019-10-02", model_name_or_path=first)
    shutil.rmtree(first)
    run = RunFolder.open(second)
    assert all(torch.equal(value, run.weights()[name]) for name, value in saved_model(run).state_dict().items())
