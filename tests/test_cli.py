"""The command line: commands are found, run and explained; mistakes leave with code 2 and one message."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import transformers4recsys
from transformers4recsys import cli

CODES = Path(__file__).parents[1] / "codes"


def test_errors_leave_with_code_2_and_one_message(capsys):
    assert cli.main(["train", "--output_dir", "x", "--d_modle", "64"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: '--d_modle' is not a flag of this command; did you mean --d_model?\n"


def test_names_of_settings_are_written_as_flags_and_other_names_are_not(capsys):
    assert cli.main(["simulate", "--items", "3"]) == 2
    assert capsys.readouterr().err == "error: --items 3: must be at least 50\n"
    assert cli.main(["benchmark", "--items", "3", "--workload", "none.parquet", "--lengths", "1"]) == 2
    assert "--items from 2, --sessions from 100, --lengths between 2 and 20" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--model_type gpt3", "--model_type 'gpt3' is unknown; did you mean gpt2? There are albert, avgseq"),
        ("--loss_type crossentropy", "--loss_type 'crossentropy' is unknown; did you mean cross_entropy?"),
        ("--data_loader_engine nvtablar", "did you mean nvtabular?"),
        ("--metrics ndcg gini", "--metrics ndcg: always reported, at each cut-off; leave it out"),
        ("--inp_merge max", "--inp_merge 'max' is unknown; choose one of attn, elementwise, mlp, none"),
        ("--session_seq_length_max 1", "--session_seq_length_max 1: must be at least 2"),
        ("--dropout 1.5", "--dropout 1.5: must be at least 0 and below 1"),
        ("--loader_memory 4", "--loader_memory 4: write a size of 1KB or more"),
        ("--pad_token 3", "--pad_token 3: item id 0 is padding"),
        ("--constrained_embeddings --mf_constrained_embeddings", "exclude each other"),
        ("--d_model wide", "--d_model 'wide': expected a whole number"),
        ("--eval_strategy epoch", "--eval_strategy epoch is not supported: each day is evaluated on the next one"),
        ("--learning_rate fast", "--learning_rate 'fast': expected a number"),
        ("--evaluation_strategy epoch", "use --validate_every N (epochs)"),
        ("--warmup_ratio 0.1", "use --learning_rate_warmup_steps"),
        ("--no_cuda", "use --use_cpu"),
        ("--per_gpu_train_batch_size 8", "use --per_device_train_batch_size"),
    ],
)
def test_a_mistake_is_named_with_its_cure_before_a_file_is_read(flags, words, capsys):
    needed = (
        "--output_dir x --data_path none --start_date 2019-10-01 --end_date 2019-10-02 --feature_config none --do_train"
    )
    assert cli.main(["train", *needed.split(), *flags.split()]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_command_is_answered_with_the_known_ones(capsys):
    assert cli.main(["trian"]) == 2
    assert "did you mean train? There are: simulate" in capsys.readouterr().err


def test_errors_show_no_keys(capsys):
    assert cli.main(["train", "--data_pth=s3://me:hidden@shop/days"]) == 2
    assert "'--data_pth=s3://***@shop/days' is not a flag" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["train", "--version"], ["-V"]])
def test_the_version_is_that_of_the_package(words, capsys):
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"transformers4recsys {version('transformers4recsys')}\n"
    assert transformers4recsys.__version__ == version("transformers4recsys")


def test_help_and_version_import_no_heavy_library():
    program = (
        "import sys; from transformers4recsys.cli import main; main(['train', '--help']); main(['--version']); "
        "sys.exit(', '.join({'torch', 'transformers', 'pyarrow', 'numpy', 'ibis'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=CODES, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--d_model" in run.stdout


def test_the_package_runs_as_a_program():
    run = subprocess.run([sys.executable, "-m", "transformers4recsys"], cwd=CODES, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith("usage: transformers4recsys COMMAND")


def test_ctrl_c_is_one_line_wherever_it_comes(monkeypatch, capsys):
    def interrupted(values):
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers4recsys.commands.simulate.run", interrupted)
    for rank, said in ((None, "stopped by SIGINT\n"), ("0", "stopped by SIGINT\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank) if rank else monkeypatch.delenv("RANK", raising=False)
        assert cli.main(["simulate"]) == 130
        assert capsys.readouterr().err == said
