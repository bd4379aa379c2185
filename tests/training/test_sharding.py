"""What sharding leaves alone and what it does not go with; sharded runs are in test_distributed.py."""

import pytest
from torch import nn

from transformers4recsys.training import sharding


def test_an_unsharded_model_is_whole_and_stays_as_it_is():
    model = nn.Linear(2, 3)
    state = model.state_dict()
    assert all(sharding.whole(state)[name] is state[name] for name in state)
    assert sharding.part(state["weight"], state["weight"]) is state["weight"]
    with sharding.gathered(model):
        assert model.weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"fsdp": "full_shard"}, "--fsdp shares the model out among processes, and here is one"),
        ({"fsdp": "shard_grad_op"}, "--fsdp shard_grad_op: give full_shard"),
        ({"fsdp": "full_shard", "torch_compile": True}, "--fsdp does not go with --torch_compile"),
        ({"fsdp": "full_shard", "fsdp_config": "fsdp.json"}, "--fsdp full_shard takes no further configuration"),
    ],
)
def test_what_sharding_does_not_go_with_is_refused(flags, words, run_train, capsys):
    folder = run_train(exit_code=2, **flags)
    assert words in " ".join(capsys.readouterr().err.split())
    assert not folder.exists()


def test_parts_are_gathered_by_name_whatever_order_they_are_in():
    # Files of tensors come in another order in each process, which would then exchange parts of different tensors.
    assert list(sharding.whole({"step": 1, "exp_avg_sq": 2, "exp_avg": 3})) == ["exp_avg", "exp_avg_sq", "step"]
