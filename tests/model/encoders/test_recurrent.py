"""The recurrent encoders take width, layers and dropout from the same settings."""

import pytest
import torch

from transformers4recsys.model.encoders.recurrent import gru, lstm, rnn
from transformers4recsys.model.encoders.settings import EncoderSettings


@pytest.mark.parametrize("make", [gru, lstm, rnn])
def test_a_recurrent_encoder_is_built_to_measure(make):
    encoder = make(EncoderSettings(24, n_layer=3, dropout=0.25))
    assert (encoder.network.hidden_size, encoder.network.num_layers, encoder.network.dropout) == (24, 3, 0.25)
    assert encoder(torch.randn(2, 5, 24), torch.ones(2, 5, dtype=torch.bool)).hidden.shape == (2, 5, 24)
