"""The recurrent encoders take width, layers and dropout from the same settings."""

import pytest
import torch

from transformers4recsys.model.encoders.recurrent import gru, gru4rec, lstm, rnn
from transformers4recsys.model.encoders.settings import EncoderSettings


@pytest.mark.parametrize("make", [gru, lstm, rnn])
def test_a_recurrent_encoder_is_built_to_measure(make):
    encoder = make(EncoderSettings(24, n_layer=3, dropout=0.25))
    assert (encoder.network.hidden_size, encoder.network.num_layers, encoder.network.dropout) == (24, 3, 0.25)
    assert encoder(torch.randn(2, 5, 24), torch.ones(2, 5, dtype=torch.bool)).hidden.shape == (2, 5, 24)


def test_gru4rec_ends_in_a_layer_of_tanh():
    encoder = gru4rec(EncoderSettings(4, n_layer=1, dropout=0.5)).eval()
    inputs = torch.randn(2, 3, 4)
    expected = torch.tanh(encoder.after[0](encoder.network(inputs)[0]))
    torch.testing.assert_close(encoder(inputs, torch.ones(2, 3, dtype=torch.bool)).hidden, expected)
