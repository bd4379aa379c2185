import json

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.opened_run import RunFolder
from transformers4recsys.recommender.saved_model import saved_model


def test_the_model_of_a_run_has_its_weights(run_train):
    run = RunFolder.open(run_train(end_date="2019-10-02"))
    model, weights = saved_model(run), run.weights()
    assert set(model.state_dict()) == set(weights)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.item_counts.sum() > 0


def test_weights_of_another_size_are_refused(run_train):
    output = run_train(end_date="2019-10-02")
    settings = json.loads((output / "config.json").read_text())
    settings["model"]["d_model"] = 8
    (output / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="do not fit"):
        saved_model(RunFolder.open(output))
