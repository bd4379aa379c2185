"""Flags: documented lines parse, and files of flags are what the command line would be."""

import json
import logging
import shlex

import pytest

from transformers4recsys.commands import train
from transformers4recsys.errors import InputError
from transformers4recsys.flags import AsFlags, FlagParser, as_flags
from transformers4recsys.settings import from_values
from transformers4recsys.training.training_arguments import library_arguments

DOCUMENTED = """
--output_dir ./tmp/ --do_train --do_eval --data_path ~/dataset_path/ --start_date 2019-10-01 --end_date 2019-10-15
--data_loader_engine nvtabular --per_device_train_batch_size 320 --per_device_eval_batch_size 512 --model_type gpt2
--loss_type cross_entropy --logging_steps 10 --d_model 256 --n_layer 2 --n_head 8 --dropout 0.1 --learning_rate 0.001
--similarity_type concat_mlp --num_train_epochs 1 --all_rescale_factor 1 --neg_rescale_factor 0
--feature_config ../datasets/ecommerce-large/config/features/session_based_features_pid.yaml --inp_merge mlp
--tf_out_activation tanh --experiments_group local_test --weight_decay 1.3e-05
--learning_rate_schedule constant_with_warmup --learning_rate_warmup_steps 0 --learning_rate_num_cosine_cycles 1.25
--dataloader_drop_last --compute_metrics_each_n_steps 1 --hidden_act gelu_new --save_steps 0
--eval_on_last_item_seq_only --fp16 --overwrite_output_dir --session_seq_length_max 20 --predict_top_k 1000
--eval_accumulation_steps 10
"""


def values(line):
    return FlagParser(train.SETTINGS).values_of(shlex.split(line))


def settings(line):
    return from_values(train.SETTINGS, values(line))


def test_the_documented_line_parses_to_what_it_says():
    parsed = settings(DOCUMENTED)
    data, model, training = parsed.data, parsed.model, parsed.training
    assert (data.days.start_date, data.sessions.session_seq_length_max) == ("2019-10-01", 20)
    assert data.reader.data_loader_engine == "nvtabular"
    assert (model.choice.model_type, model.encoder.n_head, model.encoder.hidden_act) == ("gpt2", 8, "gelu_new")
    assert model.scorer.tf_out_activation == "tanh" and model.targets.eval_on_last_item_seq_only
    assert training.schedule.learning_rate_num_cosine_cycles_by_epoch == 1.25
    assert training.output.overwrite_output_dir
    arguments, notes = library_arguments(training.library)
    assert arguments.weight_decay == 1.3e-05 and arguments.save_strategy == "no" and arguments.dataloader_drop_last
    assert len(notes) == (not arguments.fp16)


@pytest.mark.parametrize("flag", ["--local-rank=1", "--local_rank=1", "--local_rank 1"])
def test_the_rank_of_both_launchers_is_taken(flag):
    assert settings(f"--output_dir x --model_parallel {flag}").training.launch.model_parallel


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_file_of_flags_equals_the_command_line(suffix, mark, tmp_path):
    path = tmp_path / f"run.{suffix}"
    text = json.dumps({"output_dir": "x", "do_train": True, "d_model": 64, "learning_rate": 1e-3, "run_name": None})
    path.write_text(mark + text, encoding="utf-8")
    from_line = settings("--output_dir x --do_train --d_model 64 --learning_rate 0.001")
    assert settings(str(path)).data == from_line.data and settings(str(path)).model == from_line.model
    overruled = settings(f"--local-rank=0 {path} --d_model 32 --do_train false --do_eval")
    arguments, _ = library_arguments(overruled.training.library)
    assert overruled.model.encoder.d_model == 32
    assert (arguments.do_train, arguments.do_eval, arguments.local_rank) == (False, True, 0)


def test_values_of_yaml_are_what_they_look_like(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "output_dir: x\nlearning_rate: 1e-3\nlogging_strategy: no\nfp16: no\nreport_to: [tensorboard, wandb]\n"
        "start_date: 2019-10-01\nsession_aware: yes\n"
    )
    parsed = settings(str(tmp_path / "run.yaml"))
    arguments, _ = library_arguments(parsed.training.library)
    assert (arguments.learning_rate, arguments.logging_strategy, arguments.fp16) == (0.001, "no", False)
    assert arguments.report_to == ["tensorboard", "wandb"]
    assert parsed.data.days.start_date == "2019-10-01" and parsed.data.sessions.session_aware


def test_a_flag_may_have_several_words_or_none():
    assert values("--report_to tensorboard wandb --session_aware --log_predictions no") == {
        "report_to": ["tensorboard", "wandb"],
        "session_aware": "true",
        "log_predictions": "no",
    }
    assert values("--no_skip_memory_metrics") == {"skip_memory_metrics": False}
    assert values("--d-model 8 --validate_every -1") == {"d_model": "8", "validate_every": "-1"}


def test_a_prefix_that_only_one_flag_has_stands_for_it():
    parsed = settings("--output_dir x --session_aware_p 3 --log_pred")
    assert parsed.data.sessions.session_aware_past_seq_length_max == 3
    assert parsed.training.predictions.log_predictions


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--session_aware_ 3", ["ambiguous", "session_aware_past_seq_length_max"]),
        ("stray --d_model 8", ["'stray' is not a flag"]),
        ("nothing.json", ["nothing.json", "No such file"]),
    ],
)
def test_a_mistake_is_named_with_its_cure(line, words):
    with pytest.raises(InputError) as error:
        values(line)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("d_modle: 3", "run.yaml: unknown setting 'd_modle'; did you mean `d_model`?"),
        ("warmup_ratio: 0.1", "use `learning_rate_warmup_steps`"),
        ("- d_model", "expected `flag: value` pairs, found a list"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(text, words, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        values(str(tmp_path / "run.yaml"))
    assert words in str(error.value)


def test_a_word_behind_a_file_of_flags_is_no_flag(tmp_path):
    (tmp_path / "run.yaml").write_text("output_dir: a")
    with pytest.raises(InputError, match=r"'b.csv' stands behind .*run.yaml, where only flags may"):
        values(f"{tmp_path / 'run.yaml'} b.csv")


def test_names_become_flags_in_messages_and_log_lines():
    assert as_flags("`d_model` and `make engine-x` and `item_id`", {"d_model"}) == (
        "--d_model and `make engine-x` and `item_id`"
    )
    record = logging.LogRecord("x", logging.INFO, "", 0, "`%s` is %d", ("d_model", 3), None)
    assert AsFlags({"d_model"}).filter(record) and record.getMessage() == "--d_model is 3"
