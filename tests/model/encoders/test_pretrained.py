"""Names that lead nowhere; files that are damaged, or would run a program of their own."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2Model

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.pretrained import around_saved_weights, own_width
from transformers4recsys.model.encoders.settings import EncoderSettings

SETTINGS = EncoderSettings(16, n_layer=1, n_head=2, max_length=8, dropout=0.0)


@pytest.fixture
def saved(tmp_path):
    """A folder of library weights."""
    torch.manual_seed(0)
    model = GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=8, vocab_size=5))
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def refusal(folder):
    with pytest.raises(InputError) as refused:
        around_saved_weights(str(folder), None, SETTINGS)
    assert str(folder) in str(refused.value)
    return str(refused.value)


def test_saved_weights_are_taken(saved):
    encoder = around_saved_weights(str(saved), None, SETTINGS)
    assert torch.equal(encoder.model.wpe.weight, GPT2Model.from_pretrained(saved).wpe.weight)


@pytest.mark.parametrize("damage", ["cut", "header", "text", "other"])
def test_damaged_weights_are_refused(damage, saved):
    file = saved / "model.safetensors"
    whole = file.read_bytes()
    if damage == "other":
        GPT2Model(GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=8, vocab_size=5)).save_pretrained(saved)
        config = GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=8, vocab_size=5)
        config.save_pretrained(saved)
    else:
        new = {"cut": whole[: len(whole) // 2], "header": b"\xff" * 8 + whole[8:], "text": b"not weights"}
        file.write_bytes(new[damage])
    assert "no weights to start from" in refusal(saved)


def test_weights_of_another_architecture_are_refused(saved):
    file = saved / "model.safetensors"
    GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=8, vocab_size=5)).save_pretrained(saved)
    save_file({f"other.{name}": weight for name, weight in load_file(file).items()}, file, {"format": "pt"})
    assert "its file has 0 of the" in refusal(saved)


class Program:
    """A pickle that runs a program where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_is_not_read(saved, tmp_path):
    (saved / "model.safetensors").unlink()
    torch.save({"wpe.weight": Program(tmp_path / "ran")}, saved / "pytorch_model.bin")
    refusal(saved)
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_configuration_is_not_run(saved, tmp_path):
    (saved / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\nclass M: pass\n")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (saved / "config.json").write_text(json.dumps(own))
    refusal(saved)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_configuration_is_named(tmp_path):
    with pytest.raises(InputError, match="no configuration of the transformers library there"):
        own_width(str(tmp_path), None)
