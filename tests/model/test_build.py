"""What the model flags build, and what they refuse."""

import pytest
import torch
from transformers import BertConfig, GPT2Config, GPT2Model

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.row_shards import RowShards
from transformers4recsys.settings import from_values

ONE_DAY = {"end_date": "2019-10-02"}


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
    assert "--d_model, --n_layer, --n_head have no effect here" in message


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


def test_the_same_settings_and_seed_build_the_same_model(schema):
    settings = from_values(ModelSettings, {"model_type": "gru", "d_model": 8, "n_layer": 1})
    first, again, other = (build_model(schema, settings, max_length=9, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["scorer.table"], other["scorer.table"])


@pytest.mark.parametrize("ties", [{}, {"constrained_embeddings": True}, {"mf_constrained_embeddings": True}])
def test_a_process_that_holds_some_rows_builds_its_part_of_the_same_model(ties, schema):
    settings = from_values(ModelSettings, {"model_type": "gru", "d_model": 8, "n_layer": 1, **ties})
    whole = build_model(schema, settings, max_length=9)
    of_items = whole.weights_of_items
    assert len(of_items) == (2 if ties else 3)
    for rank in range(3):
        shards = RowShards(31, rank, 3)
        model = build_model(schema, settings, max_length=9, shards=shards)
        assert model.shards == shards and model.features.item_table.num_embeddings == 11
        assert model.state_dict().keys() == whole.state_dict().keys()
        for name, value in whole.state_dict().items():
            assert torch.equal(model.state_dict()[name], shards.part_of(value) if name in of_items else value)
        assert all(each.requires_grad == of_items[name].requires_grad for name, each in model.weights_of_items.items())


def test_tied_tables_are_as_wide_as_the_setting_says(schema):
    def widths(**values):
        settings = from_values(ModelSettings, {"model_type": "gru", "d_model": 8, "n_layer": 1, **values})
        model = build_model(schema, settings, max_length=9)
        return model.item_table.shape[1], model.scorer.table is None

    # 31 items: ceil(2 x 31^0.25) is 5.
    assert widths() == (8, False)
    assert widths(constrained_embeddings=True) == (8, True)
    assert widths(mf_constrained_embeddings=True) == (5, True)
    assert widths(mf_constrained_embeddings=True, item_embedding_dim=7) == (7, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"constrained_embeddings": True, "item_embedding_dim": 7}, "leave `item_embedding_dim` out"),
        ({"positions_from_end": True}, "add `eval_on_last_item_seq_only`"),
    ],
)
def test_settings_of_several_parts_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        from_values(ModelSettings, values)
