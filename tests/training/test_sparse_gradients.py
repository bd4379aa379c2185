"""Sparse gradients of item tables: refused where gradients are whole, and the same weights where they are not."""

import pytest
import torch
from safetensors.torch import load_file

from transformers4recsys.training import sparse_gradients
from transformers4recsys.training.sparse_adamw import SparseAdamW

ONE_DAY = {"end_date": "2019-10-02"}
SPARSE = {"loss_type": "sampled_softmax", "num_sampled_negatives": 8, "sparse_item_updates": True}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"loss_type": "cross_entropy"}, "--loss_type reads all items"),
        ({"optim": "adafactor"}, "--optim adafactor"),
        ({"max_grad_norm": 0}, "--max_grad_norm"),
    ],
)
def test_sparse_item_updates_are_refused_where_gradients_are_whole(flags, words, run_train, capsys):
    folder = run_train(exit_code=2, **SPARSE | flags)
    message = " ".join(capsys.readouterr().err.split())
    assert "--sparse_item_updates" in message and words in message and not folder.exists()


@pytest.mark.parametrize("loss_type", ["cross_entropy", "sampled_softmax"])
def test_a_large_table_is_trained_without_its_whole_gradient_and_alike(loss_type, run_train, monkeypatch):
    settings = {"loss_type": loss_type, "num_train_epochs": 2, **ONE_DAY}
    whole = run_train("whole", **settings)
    moved, move_all = [], SparseAdamW._move_all
    monkeypatch.setattr(SparseAdamW, "_move_all", lambda *given: moved.append(given) or move_all(*given))
    monkeypatch.setattr(sparse_gradients, "MANY_ITEMS", 0)
    parts = run_train("parts", **settings)
    assert moved
    of_whole, of_parts = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    for name, weight in of_whole.items():
        torch.testing.assert_close(of_parts[name], weight, rtol=1e-3, atol=1e-5, msg=name)


def test_sparse_item_updates_train_and_go_on_where_a_run_stopped(run_train):
    settings = SPARSE | {"constrained_embeddings": True, "gradient_accumulation_steps": 2, "num_train_epochs": 3}
    whole = run_train("whole", **settings)
    run_train("parts", end_date="2019-10-02", **settings)
    parts = run_train("parts", resume_from_checkpoint=True, **settings)
    results = [(folder / "eval_results_dates.txt").read_text() for folder in (whole, parts)]
    assert results[0] == results[1] and "eval_recall@20" in results[0]
