"""What may change when a run goes on takes effect and is told; what may not is refused before anything is written."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import yaml

from transformers4recsys.commands.train import TrainSettings
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.settings import if_changed
from transformers4recsys.training.resume import changes
from transformers4recsys.training.trainer import RecSysTrainer

END = {"end_date": "2019-10-03"}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_changes_are_told_by_name_whatever_their_section():
    before = {"model": {"d_model": 16, "loss_type": "bpr"}, "training": {"output_dir": "a", "betas": [0.9, 0.99]}}
    now = {
        "other": {"d_model": 32, "loss_type": "bpr"},
        "training": {"output_dir": "b", "betas": (0.9, 0.99), "new": 1},
    }
    assert changes(before, now) == {"d_model": "16 -> 32", "output_dir": '"a" -> "b"'}


def test_what_an_earlier_version_had_no_setting_for_is_told_where_it_is_given():
    before, now = {"model": {"d_model": 16}}, {"model": {"d_model": 16, "popularity_shift": True, "temperature": 1.0}}
    assert changes(before, now | {"given": {"popularity_shift": True, "feature_x": 1}}) == {
        "popularity_shift": "not there yet -> true"
    }
    assert changes(before, now | {"given": {}}) == {}


@pytest.fixture
def without_newer_settings(monkeypatch):
    """Let runs be those of a version that had neither a shift of popularity nor kinds of scores."""
    open_run = RunFolder.open

    def opened(*given):
        run = open_run(*given)
        model = {name: v for name, v in run.settings["model"].items() if name not in ("popularity_shift", "score")}
        return dataclasses.replace(run, settings={**run.settings, "model": model})

    monkeypatch.setattr(RunFolder, "open", staticmethod(opened))


def test_a_setting_that_a_run_of_an_earlier_version_did_not_have_is_told_or_refused(
    without_newer_settings, run_train, capsys
):
    folder = run_train(end_date="2019-10-02")
    before = contents(folder)
    run_train(exit_code=2, resume_from_checkpoint="true", score="cosine", **END)
    assert 'score: not there yet -> "cosine"' in capsys.readouterr().err and contents(folder) == before
    run_train("other", model_name_or_path=folder, score="cosine", end_date="2019-10-02")
    told = "was trained with other values of these: score: not there yet"
    assert told in " ".join(capsys.readouterr().err.split())
    run_train(resume_from_checkpoint="true", popularity_shift=True, **END)
    message = " ".join(capsys.readouterr().err.split())
    assert "going on with other settings than before: popularity_shift not there yet -> true" in message


def test_what_shapes_the_model_or_the_order_of_random_numbers_is_refused_and_places_are_ignored():
    rules = if_changed(TrainSettings)
    refused = {name for name, what in rules.items() if what == "refuse"}
    assert refused >= {"seed", "d_model", "n_layer", "n_head", "model_type", "hidden_act", "inp_merge", "mlm"}
    assert refused >= {"time_unit", "session_aware", "session_seq_length_max", "constrained_embeddings"}
    ignored = {name for name, what in rules.items() if what == "ignore"}
    assert ignored >= {"output_dir", "data_path", "feature_config", "start_date", "end_date", "run_name", "report_to"}
    assert not {"learning_rate", "dropout", "loss_type", "num_train_epochs"} & (refused | ignored)


@pytest.mark.parametrize(
    ("flag", "value", "line"),
    [
        ("d_model", 32, "d_model: 16 -> 32"),
        ("n_head", 4, "n_head: 2 -> 4"),
        ("model_type", "lstm", 'model_type: "gru" -> "lstm"'),
        ("seed", 7, "seed: 42 -> 7"),
        ("session_seq_length_max", 10, "session_seq_length_max: 20 -> 10"),
    ],
)
def test_what_may_not_change_is_refused_and_nothing_is_written(flag, value, line, run_train, capsys):
    folder = run_train(end_date="2019-10-02")
    before = contents(folder)
    run_train(exit_code=2, resume_from_checkpoint="true", **{flag: value}, **END)
    message = capsys.readouterr().err
    assert line in message and "Traceback" not in message and len(message) < 1000
    assert contents(folder) == before


def test_another_feature_config_is_refused_column_by_column(run_train, toy_days, capsys):
    folder = run_train(end_date="2019-10-02")
    before = contents(folder)
    features = yaml.safe_load((toy_days / "features.yaml").read_text())
    del features["price"]
    (toy_days / "other.yaml").write_text(yaml.safe_dump(features))
    run_train(exit_code=2, resume_from_checkpoint="true", feature_config=toy_days / "other.yaml", **END)
    assert "column price: dtype float -> not there" in capsys.readouterr().err
    assert contents(folder) == before


def test_ids_that_mean_other_items_are_refused(run_train, toy_days, capsys):
    def write(raw):
        pq.write_table(pa.table({"raw": raw, "id": list(range(1, len(raw) + 1))}), vocabulary / "item_id.parquet")

    vocabulary = toy_days / "vocabulary"
    vocabulary.mkdir()
    write(["a", "b"])
    run_train(end_date="2019-10-02")
    write(["b", "a", "c"])
    run_train(exit_code=2, resume_from_checkpoint="true", **END)
    assert "the ids of column item_id are not those" in capsys.readouterr().err
    write(["a", "b", "c"])
    folder = run_train(resume_from_checkpoint="true", **END)
    assert pq.read_table(folder / "vocabulary" / "item_id.parquet")["raw"].to_pylist() == ["a", "b", "c"]


def test_the_learning_rate_of_today_takes_effect_and_is_told(run_train, capsys):
    folder = run_train(end_date="2019-10-02")
    before = safetensors.torch.load_file(folder / "model.safetensors")
    run_train(resume_from_checkpoint="true", learning_rate=0, **END)
    assert "learning_rate 0.01 -> 0.0" in capsys.readouterr().err
    after = safetensors.torch.load_file(folder / "model.safetensors")
    # Nothing moves but the counts of the new day.
    moved = [name for name, weight in before.items() if not torch.equal(weight, after[name])]
    assert moved == ["item_counts", "session_counts"]


def test_a_rate_changed_inside_a_day_is_the_one_of_a_run_that_had_it(run_train, monkeypatch):
    seen = []

    class Killed(BaseException):
        pass

    step = RecSysTrainer.training_step

    def noting(self, *arguments):
        seen.append((self.state.global_step, self.optimizer.param_groups[0]["lr"]))
        if kill_at is not None and self.state.global_step == kill_at:
            raise Killed
        return step(self, *arguments)

    flags = {"learning_rate_schedule": "linear_with_warmup", "save_steps": 1, "end_date": "2019-10-02"}
    monkeypatch.setattr(RecSysTrainer, "training_step", noting)
    monkeypatch.setattr("transformers4recsys.reporting.output_folder.OutputFolder.fail", lambda *_, **__: None)
    kill_at = None
    run_train("expected", learning_rate=0.2, **flags)
    expected = dict(seen)
    kill_at = 2
    with pytest.raises(Killed):
        run_train("parts", learning_rate=0.1, **flags)
    seen.clear()
    kill_at = None
    run_train("parts", learning_rate=0.2, resume_from_checkpoint="true", **flags)
    assert dict(seen) == {number: rate for number, rate in expected.items() if number >= 2} and len(seen) > 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"optim": "sgd"}, "its state starts anew"),
        ({"loss_type": "bpr", "negative_sampling": True}, 'loss_type "cross_entropy" -> "bpr"'),
        ({"dropout": 0.4, "per_device_train_batch_size": 8}, "dropout 0.1 -> 0.4"),
        ({"num_train_epochs": 2}, "num_train_epochs 1.0 -> 2.0"),
        ({"popularity_shift": True}, "popularity_shift false -> true"),
    ],
)
def test_what_may_change_is_told(flags, words, run_train, capsys):
    run_train(end_date="2019-10-02")
    folder = run_train(resume_from_checkpoint="true", **flags, **END)
    assert words in " ".join(capsys.readouterr().err.split())
    config = json.loads((folder / "config.json").read_text())
    assert all(value in [section.get(name) for section in config.values()] for name, value in flags.items())


def test_clicks_of_the_last_day_are_counted_from_where_they_are_asked_for(run_train, toy_days):
    counts = "popularity_shift.last_day", "popularity_shift.window"
    for is_on in (False, True):
        run = run_train(f"run{is_on}", end_date="2019-10-02", popularity_shift=not is_on)
        flags = {"popularity_shift": is_on, "training_time_window_size": 2}
        weights = RunFolder.open(run_train(run.name, resume_from_checkpoint="true", **flags, **END)).weights()
        assert [name in weights for name in counts] == [is_on, is_on]
    # The second day's own, and those of both days, though the run read the first one before that.
    files = [toy_days / f"session_start_date=2019-10-0{day}-train.parquet" for day in (1, 2)]
    items = [np.concatenate(pq.read_table(file)["item_id"].to_numpy()) for file in files]
    assert weights[counts[0]].tolist() == np.bincount(items[1], minlength=31).tolist()
    assert weights[counts[1]].tolist() == np.bincount(np.concatenate(items), minlength=31).tolist()


@pytest.mark.parametrize(
    ("flags", "leave_out", "line"),
    [
        ({"n_layer": 2}, [], "n_layer: 1 -> 2"),
        ({"model_type": "lstm"}, [], 'model_type: "gru" -> "lstm"'),
        ({"model_type": "vstan"}, [], 'model_type: "gru" -> "vstan"'),
        ({}, ["price"], "column price: dtype float -> not there"),
    ],
)
def test_a_start_whose_weights_do_not_fit_names_the_settings(flags, leave_out, line, run_train, toy_days, capsys):
    start = run_train(end_date="2019-10-02")
    path = toy_days / "features.yaml"
    features = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({name: of for name, of in features.items() if name not in leave_out}))
    folder = run_train("other", exit_code=2, model_name_or_path=start, **flags, **END)
    message = capsys.readouterr().err
    assert f"its weights do not fit other values of these:\n  {line}\nGive the earlier values" in message
    assert not folder.exists()


def test_a_start_whose_weights_fit_as_another_model_says_so(run_train, capsys):
    start = run_train(end_date="2019-10-02")
    run_train("other", model_name_or_path=start, tf_out_activation="tanh", **END)
    words = '--model_name_or_path was trained with other values of these: tf_out_activation: "relu" -> "tanh"'
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_start_over_ids_that_mean_other_items_is_refused(run_train, toy_days, capsys):
    vocabulary = toy_days / "vocabulary"
    vocabulary.mkdir()
    pq.write_table(pa.table({"raw": ["a", "b"], "id": [1, 2]}), vocabulary / "item_id.parquet")
    start = run_train(end_date="2019-10-02")
    pq.write_table(pa.table({"raw": ["b", "a"], "id": [1, 2]}), vocabulary / "item_id.parquet")
    run_train("other", exit_code=2, model_name_or_path=start, **END)
    assert "the ids of column item_id are not those" in capsys.readouterr().err


def test_a_damaged_run_is_named_and_left_alone(run_train, capsys):
    folder = run_train(end_date="2019-10-02")
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04 not a model")
    before = contents(folder)
    for flags in ({"resume_from_checkpoint": "true"}, {"output_dir": "other", "model_name_or_path": folder}):
        run_train(exit_code=2, **flags, **END)
        assert "model.safetensors is not the file that this run wrote" in capsys.readouterr().err
    assert contents(folder) == before


def test_a_run_of_an_older_version_is_told(run_train, tmp_path, capsys):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "optimizer.pt").write_bytes(b"")
    run_train(exit_code=2, resume_from_checkpoint=tmp_path / "old")
    assert "written by an older version" in capsys.readouterr().err
