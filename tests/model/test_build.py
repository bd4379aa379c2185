"""What the model flags build, and what they refuse."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, GPT2Config, GPT2Model

from transformers4recsys.errors import InputError
from transformers4recsys.model import build as build_model
from transformers4recsys.model.build import choose
from transformers4recsys.training.sparse_adamw import SparseAdamW

ONE_DAY = {"end_date": "2019-10-02"}


def test_an_unknown_choice_names_what_there_is():
    with pytest.raises(InputError, match="--inp_merge 'sum' is unknown; choose one of attn, mlp"):
        choose({"mlp": 1, "attn": 2}, "sum", "--inp_merge")


def test_an_encoder_that_would_see_its_target_is_refused(run_train, capsys):
    folder = run_train(exit_code=2, model_type="bert", **ONE_DAY)
    assert "bert reads a session in both directions" in (message := capsys.readouterr().err) and "--mlm" in message
    assert not folder.exists()
    run_train(model_type="bert", mlm=True, **ONE_DAY)


def test_an_own_configuration_decides_the_sizes(run_train, tmp_path, capsys):
    BertConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32).save_pretrained(
        tmp_path / "own"
    )
    run_train(config_name=tmp_path / "own", mlm=True, n_layer=3, d_model=20, **ONE_DAY)
    message = " ".join(capsys.readouterr().err.split())
    assert "--n_layer has no effect here" in message and "--d_model has no effect here" in message


def test_weights_of_the_library_are_trained_on_but_not_evaluated_alone(run_train, tmp_path, capsys):
    GPT2Model(GPT2Config(n_embd=24, n_layer=1, n_head=2, vocab_size=9)).save_pretrained(tmp_path / "library")
    run_train(model_name_or_path=tmp_path / "library", **ONE_DAY)
    run_train("alone", model_name_or_path=tmp_path / "library", do_train=None, exit_code=2, **ONE_DAY)
    assert "--do_eval without --do_train needs trained weights" in capsys.readouterr().err


def test_a_finished_run_is_evaluated_as_it_was(run_train):
    trained = run_train("trained", **ONE_DAY)
    again = run_train("again", model_name_or_path=trained, do_train=None, **ONE_DAY)
    texts = [(folder / "eval_results_dates.txt").read_text() for folder in (trained, again)]
    of_metrics = [[line for line in text.splitlines() if "@" in line or "loss" in line] for text in texts]
    assert of_metrics[0] == of_metrics[1] != []


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
    monkeypatch.setattr(build_model, "MANY_ITEMS", 0)
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
