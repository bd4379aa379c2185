"""Sparse gradients of item tables: refused where gradients are whole, and the same weights where they are not."""

import pytest
import torch
import yaml
from safetensors.torch import load_file

from transformers4recsys.training import sparse_gradients
from transformers4recsys.training.sparse_adamw import SparseAdamW

ONE_DAY = {"end_date": "2019-10-02"}
SPARSE = {"loss_type": "sampled_softmax", "num_sampled_negatives": 8, "sparse_item_updates": True}


ROWWISE = SPARSE | {"sparse_item_updates": False, "item_optimizer": "rowwise_adagrad", "item_learning_rate": 0.1}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"loss_type": "cross_entropy"}, "--loss_type reads all items"),
        ({"optim": "adafactor"}, "--optim adafactor"),
        ({"optim": "sgd"}, "--optim sgd"),
        ({"max_grad_norm": 0}, "--max_grad_norm"),
        # Also refused on machines without a GPU, where --fp16 would have no effect.
        ({"fp16": True}, "--fp16 scales whole gradients; take --bf16"),
    ],
)
@pytest.mark.parametrize(("asked", "name"), [(SPARSE, "--sparse_item_updates"), (ROWWISE, "--item_optimizer")])
def test_sparse_item_updates_are_refused_where_gradients_are_whole(
    flags, words, asked, name, run_train, toy_days, capsys
):
    # Before any day file is read.
    for file in toy_days.glob("*.parquet"):
        file.unlink()
    folder = run_train(exit_code=2, **asked | flags)
    message = " ".join(capsys.readouterr().err.split())
    assert f"error: {name}: {words}" in message and f", or leave {name} out" in message and not folder.exists()


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


@pytest.mark.parametrize("asked", [SPARSE, ROWWISE], ids=["adamw", "rowwise_adagrad"])
def test_sparse_item_updates_train_and_go_on_where_a_run_stopped(asked, run_train):
    settings = asked | {"constrained_embeddings": True, "gradient_accumulation_steps": 2, "num_train_epochs": 3}
    whole = run_train("whole", **settings)
    run_train("parts", end_date="2019-10-02", **settings)
    parts = run_train("parts", resume_from_checkpoint=True, **settings)
    results = [(folder / "eval_results_dates.txt").read_text() for folder in (whole, parts)]
    assert results[0] == results[1] and "eval_recall@20" in results[0]
    for name in ("model", "training_state"):
        files = [load_file(folder / f"{name}.safetensors") for folder in (whole, parts)]
        assert files[0].keys() == files[1].keys()
        assert all(torch.equal(files[1][key], value) for key, value in files[0].items())


def test_a_row_of_an_item_table_has_one_number_of_state_and_that_of_a_new_item_is_zero(run_train, toy_days, write_day):
    settings = ROWWISE | {"sampled_negatives_per": "position"}
    before = load_file(run_train("out", **settings | ONE_DAY) / "training_state.safetensors")
    tables = [name for name in before if name.endswith("/sum")]
    assert len(tables) == 3 and all(before[name].shape == (31, 1) for name in tables)
    assert not any("scorer.table/exp_avg" in name or "item_bias/exp_avg" in name for name in before)
    features = yaml.safe_load((toy_days / "features.yaml").read_text())
    for name in ("item_id", "bef_item_id"):
        features[name]["cardinality"] = 41
    (toy_days / "features.yaml").write_text(yaml.safe_dump(features, sort_keys=False))
    write_day("2019-10-02", "train", [[35, 36, 35, 2]] * 20)

    run_train("out", resume_from_checkpoint=True, **settings)

    after = load_file(toy_days.parent / "out" / "training_state.safetensors")
    for name in tables:
        assert after[name].shape == (41, 1) and (after[name][:31] >= before[name]).all()
    of_inputs = after["optimizer/features.tables.table item_id.weight/sum"][:, 0]
    assert of_inputs[[35, 36]].all() and not of_inputs[[31, 34, 37, 40]].any()


def test_another_item_optimizer_is_refused_where_a_run_goes_on(run_train, capsys):
    run_train("out", **ROWWISE | ONE_DAY)
    run_train("out", exit_code=2, resume_from_checkpoint=True, **SPARSE)
    assert 'item_optimizer: "rowwise_adagrad" -> "adamw"' in capsys.readouterr().err
