"""GPT-2 gives what the library's gives, to the bit: first weights, training with dropout, gradients, attention.

But for the gradient of the bias of the keys, which is 0: the library's is nothing but rounding. And dropout draws other
numbers on CPUs: PyTorch's own takes its place here, and `test_dropout.py` compares the two.
"""

import dataclasses
from importlib import import_module

import pytest
import torch
from torch.nn import functional

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import dropout
from transformers4recsys.model.encoders.gpt2 import gpt2
from transformers4recsys.model.encoders.huggingface import library_encoder
from transformers4recsys.model.encoders.settings import EncoderSettings

SETTINGS = EncoderSettings(d_model=16, n_layer=2, n_head=4, max_length=7, dropout=0.2, initializer_range=0.5)
MASK_BL = torch.arange(7) < torch.tensor([3, 7, 1, 5])[:, None]


def sessions():
    return torch.randn(4, 7, 16, generator=torch.Generator().manual_seed(0)) * MASK_BL[..., None]


def twins(settings):
    """Make both from one seed; beside each, what is drawn next."""
    made = []
    for make in (library_encoder("gpt2"), gpt2):
        torch.manual_seed(0)
        made.append((make(settings), torch.rand(1)))
    return made


@pytest.mark.parametrize("changes", [{}, {"disable_positional_embeddings": True}, {"n_layer": 1, "n_head": 1}])
def test_first_weights_are_the_librarys(changes):
    (library, next_of_library), (own, next_of_own) = twins(dataclasses.replace(SETTINGS, **changes))
    expected, weights = (dict(encoder.named_parameters()) for encoder in (library, own))
    assert list(weights) == list(expected)
    for name, weight in weights.items():
        assert torch.equal(weight, expected[name]), name
        assert weight.requires_grad == expected[name].requires_grad, name
    assert torch.equal(next_of_own, next_of_library)


@pytest.fixture
def draws_as_pytorch(monkeypatch):
    def attend(query_RHSE, key_RHSE, value_RHSE, may_see_R1SS, *, share):
        heads = query_RHSE, key_RHSE, value_RHSE
        return functional.scaled_dot_product_attention(*heads, attn_mask=may_see_R1SS, dropout_p=share)

    monkeypatch.setattr(dropout, "dropout", functional.dropout)
    monkeypatch.setattr(import_module("transformers4recsys.model.encoders.gpt2"), "attend", attend)


@pytest.mark.parametrize("act", ["gelu", "relu", "gelu_new", "mish"])
def test_hidden_states_and_gradients_are_the_librarys(act, draws_as_pytorch):
    # One formula is fused here, and rounds in other places.
    tolerance = {"rtol": 0, "atol": 1e-5 if act == "gelu_new" else 0}
    found = []
    (library, _), (own, _) = twins(dataclasses.replace(SETTINGS, hidden_act=act))
    for encoder in (library, own):
        inputs_BLD = sessions().requires_grad_()
        torch.manual_seed(1)
        hidden_BLD = encoder.train()(inputs_BLD, MASK_BL).hidden
        hidden_BLD[MASK_BL].sin().sum().backward()
        gradients = {name: weight.grad for name, weight in encoder.named_parameters() if weight.requires_grad}
        of_keys_D = torch.cat([gradients[f"model.h.{n}.attn.c_attn.bias"][16:32] for n in range(2)])
        assert of_keys_D.any() == (encoder is not own) and of_keys_D.abs().max() < 1e-5
        for n in range(2):
            gradients[f"model.h.{n}.attn.c_attn.bias"][16:32] = 0
        evaluated_BLD = encoder.eval()(inputs_BLD, MASK_BL).hidden
        found.append([hidden_BLD[MASK_BL], evaluated_BLD[MASK_BL], inputs_BLD.grad, *gradients.values()])
    for of_library, of_own in zip(*found, strict=True):
        torch.testing.assert_close(of_own, of_library, **tolerance)


def test_attention_weights_are_the_librarys():
    settings = dataclasses.replace(SETTINGS, has_attentions=True)
    (library, _), (own, _) = twins(settings)
    expected, encoded = (encoder.eval()(sessions(), MASK_BL) for encoder in (library, own))
    assert len(encoded.attentions) == 2
    for weights_BHLL, expected_BHLL in zip(encoded.attentions, expected.attentions, strict=True):
        torch.testing.assert_close(weights_BHLL, expected_BHLL, rtol=0, atol=1e-6)
    torch.testing.assert_close(encoded.hidden[MASK_BL], expected.hidden[MASK_BL], rtol=0, atol=1e-5)


def test_packed_sessions_and_padded_ones_give_the_same_hidden_states():
    encoder = gpt2(SETTINGS).eval()
    packed_BLD = encoder(sessions(), MASK_BL).hidden
    encoder.is_packed = False
    torch.testing.assert_close(packed_BLD[MASK_BL], encoder(sessions(), MASK_BL).hidden[MASK_BL], rtol=0, atol=1e-5)


def test_no_position_sees_a_later_one():
    encoder, inputs_BLD = gpt2(SETTINGS).eval(), sessions()
    before_BLD = encoder(inputs_BLD, MASK_BL).hidden
    inputs_BLD[1, 4, 0] += 1
    after_BLD = encoder(inputs_BLD, MASK_BL).hidden
    assert torch.equal(before_BLD[1, :4], after_BLD[1, :4])
    assert not torch.allclose(before_BLD[1, 5], after_BLD[1, 5])


def test_a_width_the_heads_cannot_share_is_refused():
    with pytest.raises(InputError, match="`d_model` 10 must be a multiple of `n_head` 4"):
        gpt2(EncoderSettings(10, n_head=4))


def test_an_unknown_activation_is_refused():
    with pytest.raises(InputError, match="`hidden_act` 'gleu' is unknown; did you mean gelu"):
        gpt2(EncoderSettings(8, n_head=2, hidden_act="gleu"))
