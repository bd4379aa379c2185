"""Two streams: what a target sees follows from the order of the targets."""

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.encoders.settings import EncoderSettings
from transformers4recsys.model.encoders.xlnet import TwoStreamXLNet, xlnet
from transformers4recsys.settings import from_values

SIZES = {"d_model": 16, "n_layer": 2, "n_head": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return xlnet(EncoderSettings(**SIZES, is_permuted=True, initializer_range=0.5)).eval()


def seen_by(encoder, order, position):
    """The positions whose vector changes what the encoder says at this one."""
    length = len(order)
    inputs, mask = torch.randn(1, length, 16), torch.ones(1, length, dtype=torch.bool)
    before = encoder(inputs, mask, torch.tensor([order])).hidden[0, position]
    seen = set()
    for other in range(length):
        changed = inputs.clone()
        changed[0, other] += 1
        after = encoder(changed, mask, torch.tensor([order])).hidden[0, position]
        if (after - before).abs().max() > 1e-5:
            seen.add(other)
    return seen


def test_a_target_sees_what_is_no_target_and_the_targets_before_it(encoder):
    # Positions 3, 1 and 4 are predicted in this order; 0 and 2 are given.
    order = [0, 2, 0, 1, 3]
    assert seen_by(encoder, order, 3) == {0, 2}
    assert seen_by(encoder, order, 1) == {0, 2, 3}
    assert seen_by(encoder, order, 4) == {0, 1, 2, 3}


def test_sessions_and_padding_do_not_mix(encoder):
    inputs = torch.randn(2, 5, 16)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    order = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]])
    both = encoder(inputs, mask, order).hidden
    alone = encoder(inputs[1:, :3], mask[1:, :3], order[1:, :3]).hidden
    torch.testing.assert_close(both[1, :3], alone[0], atol=1e-5, rtol=1e-4)


def test_without_the_permuted_task_there_is_one_stream():
    assert not isinstance(xlnet(EncoderSettings(**SIZES)), TwoStreamXLNet)


def test_other_encoders_have_no_second_stream():
    with pytest.raises(InputError, match="`plm` needs `model_type` xlnet, and here is gpt2"):
        from_values(ModelSettings, {"plm": True, **SIZES})


def test_every_weight_that_trains_gets_a_gradient(schema, make_batch):
    model = build_model(schema, from_values(ModelSettings, {"model_type": "xlnet", "plm": True, **SIZES}), max_length=8)
    model.train()(make_batch([[1, 2, 3, 4, 5], [6, 7]])).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None] == []


def test_the_last_item_changes_nothing_and_earlier_ones_do(schema, make_batch):
    settings = from_values(ModelSettings, {"model_type": "xlnet", "plm": True, **SIZES})
    model = build_model(schema, settings, max_length=8).eval()
    hidden = model(make_batch([[3, 7, 9, 12]])).hidden
    assert torch.equal(model(make_batch([[3, 7, 9, 25]])).hidden, hidden)
    assert (model(make_batch([[4, 7, 9, 12]])).hidden - hidden).abs().max() > 1e-4
