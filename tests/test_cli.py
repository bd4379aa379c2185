"""Flags: documented lines parse, mistakes are answered with the cure."""

import json
import shlex

import pytest

from transformers4recsys import cli
from transformers4recsys.cli import FlagParser, expand_config_file, main, with_dashes
from transformers4recsys.config import DataArguments, ModelArguments, TrainingArguments, bytes_of
from transformers4recsys.errors import InputError

SETTINGS = (DataArguments, ModelArguments, TrainingArguments)

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


def parse(line: str):
    return FlagParser(SETTINGS, add_help=False).settings_of(shlex.split(line))


def test_the_documented_line_parses_to_what_it_says():
    data, model, training = parse(DOCUMENTED)
    assert (data.start_date, data.session_seq_length_max, data.data_loader_engine) == ("2019-10-01", 20, "nvtabular")
    assert (model.model_type, model.n_head, model.hidden_act, model.tf_out_activation) == (
        "gpt2",
        8,
        "gelu_new",
        "tanh",
    )
    assert training.learning_rate_num_cosine_cycles_by_epoch == 1.25
    assert training.eval_on_last_item_seq_only and training.dataloader_drop_last and training.overwrite_output_dir
    assert training.weight_decay == 1.3e-05 and training.save_strategy == "no"


@pytest.mark.parametrize("flag", ["--local-rank=1", "--local_rank=1", "--local_rank 1"])
def test_the_rank_of_both_launchers_is_taken(flag):
    assert parse(f"--output_dir x --model_parallel {flag}")[2].model_parallel


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_file_of_flags_equals_the_command_line(suffix, tmp_path):
    path = tmp_path / f"run.{suffix}"
    path.write_text(
        json.dumps({"output_dir": "x", "do_train": True, "d_model": 64, "learning_rate": 1e-3, "run_name": None})
    )
    from_file = FlagParser(SETTINGS, add_help=False).settings_of([str(path)])
    from_line = parse("--output_dir x --do_train --d_model 64 --learning_rate 0.001")
    assert [str(group) for group in from_file] == [str(group) for group in from_line]
    words = ["--local-rank=0", str(path), "--d_model", "32", "--do_train", "false", "--do_eval"]
    overruled = FlagParser(SETTINGS, add_help=False).settings_of(words)
    from_line = parse("--output_dir x --do_eval --d_model 32 --learning_rate 0.001")
    assert [str(group) for group in overruled[:2]] == [str(group) for group in from_line[:2]]
    assert (overruled[2].do_train, overruled[2].do_eval, overruled[2].local_rank) == (False, True, 0)


def test_a_word_behind_a_file_of_flags_is_no_flag(tmp_path):
    (tmp_path / "run.yaml").write_text("input: [a.csv]")
    with pytest.raises(InputError, match=r"'b.csv' stands behind .*run.yaml, where only flags may"):
        expand_config_file([str(tmp_path / "run.yaml"), "b.csv"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--d_modle 64", ["--d_modle", "did you mean --d_model"]),
        ("--d_model wide", ["--d_model", "invalid int value", "wide"]),
        ("--time_unit week", ["--time_unit", "hour"]),
        ("--session_aware_ 3", ["ambiguous", "session_aware_past_seq_length_max"]),
        ("--session_seq_length_max 1", ["--session_seq_length_max 1", "at least 2"]),
        ("--dropout 1.5", ["--dropout 1.5", "below 1"]),
        ("--loader_memory 4", ["--loader_memory 4:", "500MB"]),
        ("--loader_memory 0GB", ["--loader_memory 0GB:", "1KB or more"]),
        ("--loader_memory 0.001KB", ["--loader_memory 0.001KB:", "1KB or more"]),
        ("--pad_token 3", ["--pad_token 3", "item id 0"]),
        ("--constrained_embeddings --mf_constrained_embeddings", ["exclude each other"]),
        ("nothing.json", ["nothing.json", "No such file"]),
    ],
)
def test_a_mistake_is_named_with_its_cure(line, words):
    with pytest.raises(InputError) as error:
        parse(line if ".json" in line else f"--output_dir x {line}")
    for word in words:
        assert word in str(error.value)


def test_a_prefix_that_only_one_flag_has_stands_for_it():
    assert parse("--output_dir x --session_aware_p 3 --log_pred")[0].session_aware_past_seq_length_max == 3


def test_sizes_of_memory():
    for text, expected in (("4GB", 4 * 10**9), ("1.5gb", 1_500_000_000), ("20 KB", 20_000), ("500MB", 500 * 10**6)):
        assert bytes_of(DataArguments(loader_memory=text), "loader_memory") == expected


def test_errors_leave_with_code_2_and_one_message(capsys):
    assert cli.main(["train", "--output_dir", "x", "--d_modle", "64"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and "Traceback" not in captured.err


def test_an_unknown_command_is_answered_with_the_known_ones(capsys):
    assert cli.main(["trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_help_names_every_flag_of_a_command(command, capsys):
    assert cli.main([command, "--help"]) == 0
    page = capsys.readouterr().out
    for settings in cli.COMMANDS[command].settings:
        for name in settings.__dataclass_fields__:
            assert name == "notes" or f"--{name}" in page
    assert max(map(len, page.splitlines())) <= 120


def test_errors_show_no_keys(capsys):
    assert main(["train", "--data_pth=s3://me:hidden@shop/days"]) == 2
    assert "'--data_pth=s3://***@shop/days' is not a flag" in capsys.readouterr().err


def test_settings_in_messages_are_flags_at_the_command_line(run_train, tmp_path, capsys):
    run_train(exit_code=2, start_date="2019-10-03", end_date="2019-10-01")
    assert "--start_date 2019-10-03 is after --end_date 2019-10-01" in capsys.readouterr().err
    assert with_dashes("`n_head` of `make check`, `output` and `nothing`", "train") == (
        "--n_head of `make check`, `output` and `nothing`"
    )
