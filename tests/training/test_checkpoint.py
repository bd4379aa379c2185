"""The state of training goes to files and back to the bit, without pickle; what does not fit is refused with words."""

import json
import random
import struct

import numpy as np
import pytest
import safetensors.torch
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.negatives import NegativeStore, among_all
from transformers4recsys.tensor_file import TensorFile
from transformers4recsys.training import checkpoint
from transformers4recsys.training.checkpoint import load_weights, random_states, read_state, restore_random_states


def test_random_numbers_go_on_where_they_were():
    random.gauss(0, 1), np.random.normal(), torch.rand(3)
    states = {name: row.clone() for name, row in random_states().items()}
    drawn = [(random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.rand(1).item())]
    restore_random_states(states)
    drawn.append((random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]


def test_negatives_go_on_where_they_were():
    counts_V = torch.tensor([0, 5, 0, 2, 1])
    first = NegativeStore(among_all, alpha=0.5, size=10, seed=3)
    assert first.state() == {}
    first.sample(4, counts_V)
    state = {name: value.clone() for name, value in first.state().items()}
    expected = torch.cat([first.sample(4, counts_V) for _ in range(5)])
    counts_V = counts_V.clone().add_(0)
    other = NegativeStore(among_all, alpha=0.5, size=10, seed=3)
    other.restore(state, counts_V)
    assert torch.equal(torch.cat([other.sample(4, counts_V) for _ in range(5)]), expected)
    assert torch.equal(other.log_probabilities_V, first.log_probabilities_V)


def test_the_files_of_a_run_are_tensors_and_json(run_train):
    folder = run_train(end_date="2019-10-02")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt", ".csv"}
    for path in files:
        if path.suffix == ".safetensors":
            # The format: the length of a JSON header, the header, the numbers.
            data = path.read_bytes()
            (length,) = struct.unpack("<Q", data[:8])
            assert json.loads(data[8 : 8 + length])
        # A pickle of torch is a zip file, others begin with a protocol number.
        assert not path.read_bytes().startswith((b"PK", b"\x80"))
    state = safetensors.torch.load_file(folder / "training_state.safetensors")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    moments = {name: value for name, value in state.items() if name.endswith("/exp_avg")}
    for name, moment in moments.items():
        assert moment.shape == weights[name.split("/")[1]].shape
    buffers = {name for name in weights if name in ("item_counts", "session_counts") or ".scale." in name}
    assert len(moments) == len(weights.keys() - buffers)


def test_weights_of_another_shape_are_refused_in_few_words(schema, make_model, tmp_path):
    safetensors.torch.save_file(make_model(schema, "gru").state_dict(), tmp_path / "weights")
    weights = TensorFile((tmp_path / "weights").open("rb"))
    with pytest.raises(InputError, match="does not fit this model: encoder.*give the flags and features") as refused:
        load_weights(make_model(schema, "gru", d_model=32), weights, where=tmp_path)
    assert len(str(refused.value)) < 600
    with pytest.raises(InputError, match="does not fit this model"):
        load_weights(make_model(schema, "lstm"), weights, where=tmp_path)


def test_weights_from_before_sessions_were_counted_are_read(schema, make_model, tmp_path):
    saved = make_model(schema, "gru")
    saved.add_counts(torch.ones_like(saved.item_counts), torch.ones_like(saved.session_counts))
    earlier = {name: value for name, value in saved.state_dict().items() if name != "session_counts"}
    safetensors.torch.save_file(earlier, tmp_path / "weights")
    model = make_model(schema, "gru")
    load_weights(model, TensorFile((tmp_path / "weights").open("rb")), where=tmp_path)
    assert model.item_counts.tolist() == saved.item_counts.tolist()
    assert not model.session_counts.any()


def test_a_state_of_another_version_is_refused(tmp_path):
    with pytest.raises(InputError, match="written by another version"):
        read_state({}, b'{"optimizer": null}', where=tmp_path)
    assert checkpoint.WEIGHTS == "model.safetensors"
