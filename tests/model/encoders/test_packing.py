"""Sessions that share rows come back as they were, and give what padded ones give."""

import pytest
import torch

from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.huggingface import (
    by_block_mask,
    by_causal_mask,
    by_positions,
    library_encoder,
)
from transformers4recsys.model.encoders.packing import best_fit, pack
from transformers4recsys.model.encoders.settings import EncoderSettings

LIBRARY_ENCODERS = {**ENCODERS, "gpt2": library_encoder("gpt2")}
IS_REAL = torch.arange(6) < torch.tensor([6, 1, 3, 2, 6, 4])[:, None]


def test_best_fit_by_hand():
    assert best_fit([2, 5, 3], 6) == ([9, 0, 6], 2)


def test_packing_is_undone():
    values = torch.randn(6, 6, 3) * IS_REAL[..., None]
    packing = pack(IS_REAL, 8)
    assert packing.num_rows == 3
    torch.testing.assert_close(packing.unpacked(packing.packed(values)), values, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "bert", "albert", "electra", "modernbert"])
def test_packed_equals_padded(name):
    encoder = LIBRARY_ENCODERS[name](EncoderSettings(16, n_layer=2, n_head=2, max_length=6)).eval()
    assert encoder.run_packed
    inputs = torch.randn(6, 6, 16)
    packed = encoder(inputs, IS_REAL).hidden[IS_REAL]
    encoder.run_packed = None
    torch.testing.assert_close(packed, encoder(inputs, IS_REAL).hidden[IS_REAL], rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [2, 5, 50, 200])
def test_restarting_positions_alone_do_not_part_sessions_that_see_both_ways(length):
    """Even with next to no attention at first, and however long the longest session."""
    for name in ("bert", "modernbert"):
        settings = EncoderSettings(16, n_layer=2, n_head=2, max_length=length, initializer_range=1e-3)
        assert LIBRARY_ENCODERS[name](settings).run_packed is by_block_mask
    assert LIBRARY_ENCODERS["gpt2"](settings).run_packed is by_causal_mask


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_a_mask_gives_the_bits_of_restarting_positions_in_training_too(name):
    encoder = LIBRARY_ENCODERS[name](EncoderSettings(16, n_layer=2, n_head=2, max_length=6, dropout=0.1))
    inputs, hidden = torch.randn(6, 6, 16), []
    for call in (by_causal_mask, by_positions):
        encoder.run_packed = call
        torch.manual_seed(0)
        hidden.append(encoder(inputs, IS_REAL).hidden)
    assert torch.equal(*hidden)
