"""Recurrent encoders: causal by nature, so padding on the right never reaches a real position."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded


class RecurrentEncoder(nn.Module):
    """Runs a batch-first recurrent network over the padded sessions."""

    def __init__(self, network: nn.RNNBase, *, dropout: float):
        super().__init__()
        self.network, self.dropout = network, nn.Dropout(dropout)

    def forward(self, inputs_BLD: Tensor, is_real_BL: Tensor) -> Encoded:
        hidden_BLD, _ = self.network(inputs_BLD)
        return Encoded(self.dropout(hidden_BLD))


def recurrent(network: Callable[..., nn.RNNBase]) -> Callable[[EncoderSettings], RecurrentEncoder]:
    """Make an encoder of one of PyTorch's recurrent networks."""

    def build(settings: EncoderSettings) -> RecurrentEncoder:
        width, between_layers = settings.d_model, settings.dropout if settings.n_layer > 1 else 0.0
        built = network(width, width, settings.n_layer, batch_first=True, dropout=between_layers)
        return RecurrentEncoder(built, dropout=settings.dropout)

    return build


# Gated recurrent units (Cho 2014), long short-term memory (Hochreiter 1997), the plain tanh network (Elman 1990).
gru, lstm, rnn = recurrent(nn.GRU), recurrent(nn.LSTM), recurrent(nn.RNN)
