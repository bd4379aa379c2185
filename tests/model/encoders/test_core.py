import dataclasses
import math

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders.core import Core
from transformers4recsys.model.encoders.settings import EncoderSettings

SETTINGS = EncoderSettings(d_model=2, n_layer=1, n_head=1, max_length=4, dropout=0.0)


def test_a_session_is_the_mean_of_its_inputs_by_the_weights_of_the_transformer():
    encoder = Core(SETTINGS).eval()
    hidden_BLD = torch.tensor([[[math.log(3.0), 9.0], [0.0, 9.0], [math.log(4.0), 9.0]]])
    encoder.transformer.forward = lambda inputs_BLD, mask_BL: dataclasses.replace(whole, hidden=hidden_BLD)
    inputs_BLD = torch.tensor([[[8.0, 0.0], [0.0, 8.0], [8.0, 8.0]]])
    mask_BL = torch.ones(1, 3, dtype=torch.bool)
    whole = Core(SETTINGS).transformer(inputs_BLD, mask_BL)
    with torch.no_grad():
        encoder.weigh.weight.copy_(torch.tensor([[1.0, 0.0]]))

    # The weights are 3, 1 and 4, of which each position has those up to its own.
    torch.testing.assert_close(encoder(inputs_BLD, mask_BL).hidden[0], torch.tensor([[8.0, 0], [6, 2], [7, 5]]))


def test_no_position_sees_a_later_one_and_padding_changes_nothing():
    encoder = Core(SETTINGS).eval()
    inputs_BLD = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(0))
    mask_BL = torch.tensor([[True, True, True, True], [True, True, False, False]])
    before_BLD = encoder(inputs_BLD, mask_BL).hidden
    inputs_BLD[0, 3] += 1
    inputs_BLD[1, 2:] += 1

    after_BLD = encoder(inputs_BLD, mask_BL).hidden

    torch.testing.assert_close(after_BLD[0, :3], before_BLD[0, :3])
    assert not torch.allclose(after_BLD[0, 3], before_BLD[0, 3])
    torch.testing.assert_close(after_BLD[1, :2], before_BLD[1, :2])


def test_what_all_positions_share_is_not_trained():
    encoder = Core(SETTINGS).eval()
    inputs_BLD, mask_BL = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(0)), torch.ones(1, 4).bool()
    before_BLD = encoder(inputs_BLD, mask_BL).hidden
    bias = encoder.transformer.model.ln_f.bias
    assert not bias.requires_grad
    bias += 5.0
    torch.testing.assert_close(encoder(inputs_BLD, mask_BL).hidden, before_BLD)


def test_attention_weights_are_those_of_the_transformer():
    encoder = Core(dataclasses.replace(SETTINGS, has_attentions=True)).eval()

    attentions = encoder(torch.ones(1, 4, 2), torch.ones(1, 4, dtype=torch.bool)).attentions

    assert attentions is not None and [each.shape for each in attentions] == [(1, 1, 4, 4)]


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(InputError, match="`d_model` 2 must be a multiple of `n_head` 3"):
        Core(dataclasses.replace(SETTINGS, n_head=3))
