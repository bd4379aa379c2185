"""Our sizes reach the library's configuration under its own names."""

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.encoders.settings import EncoderSettings

gpt2 = ENCODERS["gpt2"]


def test_gpt2_is_built_to_measure():
    settings = EncoderSettings(
        32, n_layer=3, n_head=8, max_length=40, dropout=0.3, hidden_act="relu", initializer_range=0.5
    )
    config = gpt2(settings).model.config
    assert (config.n_embd, config.n_layer, config.n_head, config.n_positions) == (32, 3, 8, 42)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.3, 0.3, 0.3)
    assert (config.activation_function, config.layer_norm_epsilon, config.initializer_range) == ("relu", 1e-12, 0.5)


def test_positions_can_be_switched_off():
    inputs = torch.randn(1, 1, 8).expand(1, 5, 8)
    with_positions = gpt2(EncoderSettings(8, n_layer=1, n_head=2)).eval()(inputs, torch.ones(1, 5, dtype=torch.bool))
    without = gpt2(EncoderSettings(8, n_layer=1, n_head=2, has_positions=False)).eval()
    hidden = without(inputs, torch.ones(1, 5, dtype=torch.bool)).hidden
    torch.testing.assert_close(hidden[:, 0], hidden[:, 4])
    assert (with_positions.hidden[:, 0] - with_positions.hidden[:, 4]).abs().max() > 1e-3


def test_attention_weights_are_causal_and_sum_to_one():
    encoder = gpt2(EncoderSettings(8, n_layer=2, n_head=2, has_attentions=True)).eval()
    encoded = encoder(torch.randn(3, 4, 8), torch.ones(3, 4, dtype=torch.bool))
    assert [tuple(weights.shape) for weights in encoded.attentions] == [(3, 2, 4, 4)] * 2
    for weights in encoded.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 4))
        assert weights.triu(1).abs().max() == 0


def test_a_width_the_heads_cannot_share_is_refused():
    with pytest.raises(InputError, match="--d_model 10 must be a multiple of --n_head 4"):
        gpt2(EncoderSettings(10, n_head=4))
