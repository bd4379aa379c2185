"""Recurrent encoders: causal by nature, so padding on the right never reaches a real position."""

from __future__ import annotations

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


def gru(settings: EncoderSettings) -> RecurrentEncoder:
    """Gated recurrent units (Cho 2014)."""
    between_layers = settings.dropout if settings.n_layer > 1 else 0.0
    network = nn.GRU(settings.d_model, settings.d_model, settings.n_layer, batch_first=True, dropout=between_layers)
    return RecurrentEncoder(network, dropout=settings.dropout)
