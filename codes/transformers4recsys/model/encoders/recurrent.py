"""Recurrent encoders: causal by nature, so padding on the right never reaches a real position."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded


class RecurrentEncoder(nn.Module):
    """Runs a batch-first recurrent network over the padded sessions, between what may come before and after it."""

    used_settings: frozenset[str] = frozenset(("n_layer", "dropout"))

    def __init__(self, before: nn.Module, network: nn.RNNBase, after: nn.Module):
        super().__init__()
        self.before, self.network, self.after = before, network, after

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        hidden_BLD, _ = self.network(self.before(inputs_BLD))
        return Encoded(self.after(hidden_BLD))


def recurrent(network: Callable[..., nn.RNNBase]) -> Callable[[EncoderSettings], RecurrentEncoder]:
    """Make an encoder of one of PyTorch's recurrent networks."""

    def build(settings: EncoderSettings) -> RecurrentEncoder:
        return RecurrentEncoder(nn.Identity(), _layers(network, settings), nn.Dropout(settings.dropout))

    return build


def gru4rec(settings: EncoderSettings) -> RecurrentEncoder:
    """GRU4Rec (Hidasi 2016, figure 1): dropout on the inputs, gated recurrent units, a feed-forward tanh layer."""
    after = nn.Sequential(nn.Linear(settings.d_model, settings.d_model), nn.Tanh())
    return RecurrentEncoder(nn.Dropout(settings.dropout), _layers(nn.GRU, settings), after)


def _layers(network: Callable[..., nn.RNNBase], settings: EncoderSettings) -> nn.RNNBase:
    between_layers = settings.dropout if settings.n_layer > 1 else 0.0
    return network(settings.d_model, settings.d_model, settings.n_layer, batch_first=True, dropout=between_layers)


# Gated recurrent units (Cho 2014), long short-term memory (Hochreiter 1997), the plain tanh network (Elman 1990).
gru, lstm, rnn = recurrent(nn.GRU), recurrent(nn.LSTM), recurrent(nn.RNN)
