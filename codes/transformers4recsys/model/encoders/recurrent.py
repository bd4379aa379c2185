"""Recurrent encoders: causal by nature, so padding on the right never reaches a real position."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.outputs import Encoded

# The gates of PyTorch's weights in the order of ONNX's.
ONNX_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2), "RNN_TANH": (0,)}


class RecurrentEncoder(nn.Module):
    """Runs a batch-first recurrent network over the padded sessions, between what may come before and after it."""

    used_settings: frozenset[str] = frozenset(("n_layer", "dropout"))

    def __init__(self, before: nn.Module, network: nn.RNNBase, after: nn.Module):
        super().__init__()
        self.before, self.network, self.after = before, network, after

    def forward(self, inputs_BLD: Tensor, padding_mask_BL: Tensor) -> Encoded:
        before_BLD = self.before(inputs_BLD)
        hidden_BLD = as_onnx(self.network, before_BLD) if torch.compiler.is_exporting() else self.network(before_BLD)[0]
        return Encoded(self.after(hidden_BLD))


def as_onnx(network: nn.RNNBase, inputs_BLD: Tensor) -> Tensor:
    """Run a recurrent network as ONNX's own operation: PyTorch's would be unrolled to the length of the example."""
    rows_LBD, order = inputs_BLD.transpose(0, 1), ONNX_GATES[network.mode]
    for layer in range(network.num_layers):
        input_1GE, state_1GD, of_input_1G, of_state_1G = (
            torch.cat([getattr(network, f"{name}_l{layer}").chunk(len(order))[gate] for gate in order])[None]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        # PyTorch multiplies the reset gate behind the linear layer.
        of_gru = {"linear_before_reset": 1} if network.mode == "GRU" else {}
        output_L1BD = torch.onnx.ops.symbolic(
            network.mode.removesuffix("_TANH"),
            [rows_LBD, input_1GE, state_1GD, torch.cat([of_input_1G, of_state_1G], dim=1)],
            attrs={"hidden_size": network.hidden_size, **of_gru},
            dtype=rows_LBD.dtype,
            shape=[rows_LBD.shape[0], 1, rows_LBD.shape[1], network.hidden_size],
            version=14,
        )
        rows_LBD = output_L1BD[:, 0]
    return rows_LBD.transpose(0, 1)


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
