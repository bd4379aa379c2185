"""What tables that are shared out do not go with, and one process; runs in two are in test_distributed.py."""

import pytest
import safetensors.torch
import torch

from transformers4recsys import distributed
from transformers4recsys.errors import InputError
from transformers4recsys.row_shards import RowShards
from transformers4recsys.training.shared_tables import shards_of


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"model_type": "popular"}, "--model_type popular, which has no item table"),
        ({"loss_type": "bpr", "negative_sampling": True}, "--loss_type bpr (it takes cross_entropy, sampled_softmax"),
        ({"model_type": "bert", "mlm": True}, "--mlm or --plm with --loss_type cross_entropy"),
        ({"optim": "adafactor"}, "--optim adafactor (it takes adamw_torch"),
        ({"item_features": "category"}, "--item_features or --item_vectors"),
        ({"model_type": "bert", "mlm": True, "rtd": True, "loss_type": "gbce"}, "with --rtd"),
        ({"unknown_share": 0.1, "torch_compile": True}, "--unknown_share; --torch_compile: leave one of them out"),
        ({"use_ohe_item_ids_inputs": True}, "--use_ohe_item_ids_inputs"),
        # Also refused on machines without a GPU, where --fp16 would have no effect.
        ({"fp16": True}, "with --fp16: leave one of them out"),
    ],
)
def test_what_they_do_not_go_with_is_named(flags, words, run_train, toy_days, capsys):
    # Before any day file is read.
    for file in toy_days.glob("*.parquet"):
        file.unlink()
    folder = run_train(exit_code=2, shard_item_tables=True, **flags)
    message = " ".join(capsys.readouterr().err.split())
    assert "--shard_item_tables does not go with" in message and words in message
    assert not folder.exists()


def test_each_process_needs_an_item(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 31)
    with pytest.raises(InputError, match="31 processes have 30: leave it out"):
        shards_of(31)
    monkeypatch.setattr(distributed, "world_size", lambda: 30)
    assert shards_of(31) == RowShards(31, 0, 30)


def test_one_process_holds_all_rows_and_says_so(run_train, capsys):
    plain, shared = (run_train(name, shard_item_tables=name == "shared") for name in ("plain", "shared"))
    assert capsys.readouterr().err.count("--shard_item_tables has no effect here: one process holds all rows") == 1
    of_both = [safetensors.torch.load_file(folder / "model.safetensors") for folder in (plain, shared)]
    assert of_both[0].keys() == of_both[1].keys()
    assert all(torch.equal(value, of_both[1][name]) for name, value in of_both[0].items())
