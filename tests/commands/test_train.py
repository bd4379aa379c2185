"""The edge: what is refused, warned of and written before the first step."""

import math
import sys

import pytest

from transformers4recsys.commands.train import TrainSettings, unused_settings
from transformers4recsys.data.readers.library import Library
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.settings import from_values

RESULTS = "eval_train_results_dates.csv"
FIRST = "session_start_date=2019-10-01-train.parquet"


def test_bad_input_stops_a_run_before_anything_is_written(run_train, toy_days, write_day, capsys):
    write_day("2019-10-03", "valid", [[1, 2], [3, 99]])
    folder = run_train(exit_code=2)
    message = capsys.readouterr().err
    assert "2019-10-03-valid.parquet" in message and "item_id" in message and "row 1" in message and "99" in message
    assert not folder.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"model_type": "gpt5"}, ["--model_type 'gpt5' is unknown; did you mean gpt2?", "gru"]),
        ({"loss_type": "crossentropy"}, ["--loss_type 'crossentropy' is unknown", "cross_entropy"]),
        ({"data_loader_engine": "arrow"}, ["--data_loader_engine", "'arrow'", "nvtabular", "petastorm"]),
        ({"nvt_part_mem_fraction": 1.5}, ["--nvt_part_mem_fraction 1.5", "above 0 and below 1"]),
        ({"time_unit": "hour"}, ["--start_date '2019-10-01' is not a valid date", "YYYY-MM-DD-HH"]),
        ({"data_path": None, "end_date": None}, ["--data_path, --end_date must be given"]),
        ({"do_train": None, "do_eval": None}, ["--do_train, --do_eval or both"]),
        ({"do_train": None}, ["--do_eval without --do_train", "--resume_from_checkpoint"]),
        ({"session_aware": True, "session_aware_features_prefix": "past_"}, ["no column past_item_id"]),
        ({"eval_strategy": "epoch"}, ["--eval_strategy", "--validate_every"]),
        ({"model_type": "gpt2", "n_head": 3}, ["--d_model 16 must be a multiple of --n_head 3"]),
        ({"feature_config": "none.yaml"}, ["none.yaml", "No such file"]),
        ({"start_date": "2019-10-03", "end_date": "2019-10-01"}, ["--start_date 2019-10-03 is after"]),
    ],
)
def test_settings_that_cannot_run_are_refused(flags, words, run_train, capsys):
    folder = run_train(exit_code=2, **flags)
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert "Traceback" not in message and not folder.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"model_type": "gpt2", "n_head": 3}, "--d_model 16 must be a multiple of --n_head 3"),
        ({"model_type": "bert"}, "bert reads a session in both directions"),
        ({"loss_type": "bpr"}, "this --loss_type compares with items of other sessions: add --negative_sampling"),
        ({"inp_merge": "none"}, "--inp_merge none takes one feature"),
    ],
)
def test_settings_that_cannot_run_are_refused_before_day_files_are_read(flags, words, run_train, toy_days, capsys):
    for file in toy_days.glob("*.parquet"):
        file.write_bytes(b"not parquet")
    run_train(exit_code=2, **flags)
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_day_that_memory_cannot_hold_trains_as_one_that_it_can(run_train, capsys):
    held, streamed = (run_train(name, loader_memory=name, dataloader_drop_last=True) for name in ("1GB", "8KB"))
    assert "are streamed in blocks" in " ".join(capsys.readouterr().err.split())
    tables = [[line.split(",") for line in (out / RESULTS).read_text().splitlines()] for out in (held, streamed)]
    losses = [[row[table[0].index("eval_loss")] for row in table[1:]] for table in tables]
    assert losses[0] == losses[1] and len(losses[0]) == 2


@pytest.mark.parametrize(("reader", "package"), [("nvtabular", "merlin.loader.torch"), ("petastorm", "petastorm")])
def test_a_reader_that_is_not_installed_is_reported_before_anything_is_written(
    reader, package, run_train, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    folder = run_train(exit_code=2, data_loader_engine=reader)
    message = capsys.readouterr().err
    assert f"`make engine-{reader}` installs it" in message and "Traceback" not in message and not folder.exists()


def test_a_training_window_that_a_reader_cannot_hold_is_reported_before_anything_is_written(
    run_train, capsys, monkeypatch
):
    monkeypatch.setattr(Library, "check_usable", lambda *_: None)
    flags = {"data_loader_engine": "petastorm", "training_time_window_size": 2}
    folder = run_train(exit_code=2, loader_memory="8KB", **flags)
    message = " ".join(capsys.readouterr().err.split())
    assert "2019-10-01-train.parquet" in message and "this reader holds them all" in message
    assert "Traceback" not in message and not folder.exists()


def test_a_second_run_in_a_folder_needs_to_be_asked_for(run_train, capsys):
    folder = run_train(end_date="2019-10-02")
    before = (folder / "log.json").read_text()
    run_train(end_date="2019-10-02", exit_code=2)
    assert "--overwrite_output_dir" in capsys.readouterr().err
    assert (folder / "log.json").read_text() == before
    run_train(end_date="2019-10-02", overwrite_output_dir=True)
    assert (folder / "log.json").read_text().count("PARAMETER") == 1


def test_missing_days_can_be_skipped_and_are_reported(run_train, toy_days, capsys):
    (toy_days / "session_start_date=2019-10-02-valid.parquet").unlink()
    folder = run_train(end_date="2019-10-04", exit_code=2)
    assert "2019-10-02-valid.parquet" in capsys.readouterr().err
    folder = run_train(end_date="2019-10-04", missing_days="skip")
    assert "2019-10-02: files are missing" in " ".join(capsys.readouterr().err.split())
    text = (folder / "eval_results_dates.txt").read_text()
    assert "2019-10-02" not in text and "2019-10-03" in text
    averages = (folder / "eval_results_avg_over_days.txt").read_text()
    assert 'days_skipped = ["2019-10-02"]' in averages and "num_days = 2" in averages


def test_the_seed_alone_decides_the_first_weights(run_train):
    settings = {"end_date": "2019-10-02", "learning_rate": 0}
    first, again, other = (run_train(name, seed=seed, **settings) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    results = [(folder / "eval_results_dates.txt").read_text() for folder in (first, again, other)]
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ({}, []),
        ({"neg_sampling_alpha": 0.5}, ["neg_sampling_alpha"]),
        ({"neg_sampling_alpha": 0.5, "loss_type": "bpr"}, []),
        ({"margin_loss": 0.5, "neg_rescale_factor": 1.0, "loss_type": "cross_entropy_neg"}, ["margin_loss"]),
        ({"margin_loss": 0.5, "neg_rescale_factor": 1.0, "loss_type": "margin_hinge_a"}, []),
        ({"margin_loss": 0.5, "loss_type": "margin_hinge_a"}, ["margin_loss"]),
        ({"similarity_type": "cosine", "loss_type": "margin_hinge_a"}, ["similarity_type"]),
        ({"label_smoothing_factor": 0.5, "loss_type": "gbce"}, ["label_smoothing_factor"]),
        ({"label_smoothing_factor": 0.5, "loss_type": "margin_hinge_b"}, []),
        ({"gbce_t": 0.5, "loss_type": "sampled_softmax"}, ["gbce_t"]),
        ({"mlm_probability": 0.5, "cache_dir": "x"}, ["cache_dir", "mlm_probability"]),
        ({"data_loader_engine": "nvtabular", "loader_memory": "1GB", "workers_count": 2}, ["workers_count"]),
        ({"warmup_steps": 5, "summary_type": "cls_index"}, ["summary_type", "warmup_steps"]),
    ],
)
def test_settings_without_effect_are_found(values, idle):
    notes = unused_settings(from_values(TrainSettings, values))
    assert sorted(note.split()[0] for note in notes) == [f"`{name}`" for name in idle]


def test_flags_without_effect_for_one_reason_are_one_line():
    values = {"model_type": "vstan", "d_model": 64, "n_layer": 1, "dropout": 0.2}
    assert unused_settings(from_values(TrainSettings, values)) == [
        "`d_model`, `n_layer`, `dropout` have no effect here: vstan is a baseline, which is not trained by gradient"
    ]


def test_flags_without_effect_are_named_once(run_train, capsys):
    run_train(end_date="2019-10-02", lsh_num_hashes=4, fp16=True, hidden_act="relu", eval_accumulation_steps=10)
    message = " ".join(capsys.readouterr().err.split())
    assert message.count("--hidden_act, --lsh_num_hashes have no effect here: the encoder gru has no such setting") == 1
    assert message.count("--eval_accumulation_steps has no effect here: ranks are counted batch by batch") == 1
    assert "--fp16 needs a CUDA GPU" in message
    assert message.count("1 column of past sessions (bef_...): ignored without --session_aware") == 1


@pytest.mark.parametrize(("bf16", "precision"), [(False, "fp32"), (True, "bf16")])
def test_fp16_without_a_gpu_says_what_it_trains_in(bf16, precision, run_train, capsys):
    run_train(end_date="2019-10-02", fp16=True, bf16=bf16)
    assert f"so training is in {precision}" in " ".join(capsys.readouterr().err.split())


def test_tables_are_as_many_fourth_roots_wide_as_is_said_and_stay_so(run_train):
    asked = {"embedding_dim_from_cardinality_multiplier": 5}
    folder = run_train(end_date="2019-10-02", **asked)
    features = RunFolder.open(str(folder)).schema.categorical
    assert [feature.width for feature in features] == [math.ceil(5 * each.cardinality**0.25) for each in features]
    run_train(exit_code=2, resume_from_checkpoint="true", embedding_dim_from_cardinality_multiplier=6)
