import dataclasses

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.pre_norm import ligr, sasrec
from transformers4recsys.model.encoders.settings import EncoderSettings

SETTINGS = EncoderSettings(d_model=8, n_layer=2, n_head=2, max_length=7, dropout=0.0, initializer_range=0.5)
ENCODERS = pytest.mark.parametrize("make", [sasrec, ligr])


def sessions(*lengths, width=8):
    inputs_BLD = torch.randn(len(lengths), max(lengths), width, generator=torch.Generator().manual_seed(0))
    return inputs_BLD, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@ENCODERS
@pytest.mark.parametrize("from_end", [False, True])
def test_packed_sessions_and_padded_ones_give_the_same_hidden_states(make, from_end):
    encoder = make(dataclasses.replace(SETTINGS, positions_from_end=from_end)).eval()
    inputs_BLD, mask_BL = sessions(3, 7, 1, 5)

    packed_BLD = encoder(inputs_BLD, mask_BL).hidden
    encoder.is_packed = False
    padded_BLD = encoder(inputs_BLD, mask_BL).hidden

    torch.testing.assert_close(packed_BLD[mask_BL], padded_BLD[mask_BL], atol=1e-5, rtol=1e-5)


@ENCODERS
def test_no_position_sees_a_later_one(make):
    encoder = make(SETTINGS).eval()
    inputs_BLD, mask_BL = sessions(6)
    before_BLD = encoder(inputs_BLD, mask_BL).hidden
    inputs_BLD[0, 4, 0] += 1

    after_BLD = encoder(inputs_BLD, mask_BL).hidden

    assert torch.equal(before_BLD[0, :4], after_BLD[0, :4])
    assert not torch.allclose(before_BLD[0, 5], after_BLD[0, 5])


@ENCODERS
def test_positions_can_be_left_out(make):
    encoder = make(dataclasses.replace(SETTINGS, n_layer=1, disable_positional_embeddings=True)).eval()
    inputs_BLD, mask_BL = sessions(4)
    swapped_BLD = inputs_BLD[:, [1, 0, 2, 3]]

    last_D, of_swapped_D = (encoder(each, mask_BL).hidden[0, 3] for each in (inputs_BLD, swapped_BLD))

    torch.testing.assert_close(last_D, of_swapped_D)


@ENCODERS
def test_positions_can_be_counted_from_the_end(make):
    encoder = make(dataclasses.replace(SETTINGS, positions_from_end=True)).eval()
    twin = make(dataclasses.replace(SETTINGS, disable_positional_embeddings=True)).eval()
    twin.load_state_dict({name: value for name, value in encoder.state_dict().items() if "positions" not in name})
    inputs_BLD, mask_BL = sessions(5, 2)

    hidden_BLD = encoder(inputs_BLD, mask_BL).hidden

    with_positions_BLD = inputs_BLD + encoder.positions.weight[torch.tensor([[4, 3, 2, 1, 0], [1, 0, 0, 0, 0]])]
    expected_BLD = twin(with_positions_BLD, mask_BL).hidden
    torch.testing.assert_close(hidden_BLD[mask_BL], expected_BLD[mask_BL], atol=1e-5, rtol=1e-5)


@ENCODERS
def test_attention_weights_add_up_to_one_and_see_nothing_later(make):
    encoder = make(dataclasses.replace(SETTINGS, has_attentions=True)).eval()
    inputs_BLD, mask_BL = sessions(4, 2)

    encoded = encoder(inputs_BLD, mask_BL)

    assert encoded.attentions is not None and len(encoded.attentions) == 2
    for weights_BHLL in encoded.attentions:
        assert weights_BHLL.shape == (2, 2, 4, 4)
        torch.testing.assert_close(weights_BHLL.sum(-1), torch.ones(2, 2, 4))
        assert not weights_BHLL.triu(1).any()


def test_the_gate_of_ligr_decides_how_much_is_added():
    encoder = ligr(SETTINGS).eval()
    with torch.no_grad():
        for layer in encoder.layers:
            for residual in (layer.attention, layer.feed_forward):
                residual.gate.weight.zero_()
                residual.gate.bias.fill_(-100.0)
    inputs_BLD, mask_BL = sessions(3)

    hidden_BLD = encoder(inputs_BLD, mask_BL).hidden

    expected_BLD = encoder.norm(inputs_BLD + encoder.positions(torch.arange(3)))
    torch.testing.assert_close(hidden_BLD, expected_BLD)


@ENCODERS
def test_sizes_that_do_not_fit_are_named(make):
    with pytest.raises(InputError, match="`d_model` 8 must be a multiple of `n_head` 3"):
        make(EncoderSettings(d_model=8, n_head=3))
    with pytest.raises(InputError, match="`hidden_act` 'gleu' is unknown"):
        make(EncoderSettings(d_model=8, n_head=2, hidden_act="gleu"))


@ENCODERS
def test_linear_layers_begin_with_the_asked_for_spread_and_without_a_bias(make):
    torch.manual_seed(0)
    encoder = make(dataclasses.replace(SETTINGS, d_model=64))
    layers = [module for module in encoder.modules() if isinstance(module, torch.nn.Linear)]
    assert len(layers) >= 8
    for layer in layers:
        assert float(layer.weight.std()) == pytest.approx(0.5, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
