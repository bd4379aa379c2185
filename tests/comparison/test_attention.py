import torch
from safetensors.torch import save_file

from transformers4recsys.comparison.attention import attended_sessions


def test_the_longest_sessions_of_the_last_file_without_their_padding(tmp_path):
    folder = tmp_path / "attention_weights"
    folder.mkdir()
    inputs = torch.tensor([[3, 0, 0], [1, 2, 0]])
    weights = torch.arange(18.0).reshape(2, 1, 3, 3)
    save_file({"inputs": inputs * 0, "layer_0": weights}, folder / "date_2026-01-01_step_000000.safetensors")
    save_file({"inputs": inputs, "layer_0": weights}, folder / "date_2026-01-02_step_000000.safetensors")
    longest, shorter = attended_sessions(tmp_path, [None, "a", "b"])
    assert longest.items == ["a", "b"] and longest.weights["layer 1, head 1"].tolist() == [[9, 10], [12, 13]]
    # An id that the vocabulary does not have stands for itself.
    assert shorter.items == ["3"] and shorter.weights["layer 1, head 1"].tolist() == [[0]]


def test_a_run_without_attention_weights_has_none(tmp_path):
    assert attended_sessions(tmp_path, None) == []
