"""Attention weights: a safetensors file a step."""

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from transformers4recsys.reporting.attention import AttentionFiles


def test_a_file_a_step_with_inputs_and_a_tensor_a_layer(tmp_path):
    files = AttentionFiles(tmp_path)
    item_ids = torch.tensor([[4, 2, 0], [7, 0, 0]])
    # Not contiguous, and one memory under two names, as models hand them out.
    weights = torch.rand(2, 3, 3, 5, dtype=torch.float32).transpose(1, 3)[:, :4]
    files.write("2019-10-02", item_ids, (weights, weights))
    files.write("2019-10-02", item_ids[:1], (weights[:1],))
    files.write("2019-10-03", item_ids, (weights.bfloat16(),))
    names = sorted(path.name for path in (tmp_path / "attention_weights").iterdir())
    assert names == [
        "date_2019-10-02_step_000000.safetensors",
        "date_2019-10-02_step_000001.safetensors",
        "date_2019-10-03_step_000000.safetensors",
    ]
    first = load_file(tmp_path / "attention_weights" / names[0])
    assert sorted(first) == ["inputs", "layer_0", "layer_1"]
    assert torch.equal(first["inputs"], item_ids)
    assert first["layer_1"].shape == (2, 4, 3, 3)
    assert torch.equal(first["layer_1"], weights)
    assert load_file(tmp_path / "attention_weights" / names[1])["inputs"].tolist() == [[4, 2, 0]]
    with safe_open(tmp_path / "attention_weights" / names[2], "pt") as file:
        assert file.metadata() == {"day": "2019-10-03", "step": "0"}


def test_making_it_touches_nothing(tmp_path):
    AttentionFiles(tmp_path)
    assert list(tmp_path.iterdir()) == []
