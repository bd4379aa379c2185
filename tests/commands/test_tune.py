import pytest
import yaml

from transformers4recsys import cli

pytest.importorskip("optuna", reason="the extra `tune` is not installed")


@pytest.fixture
def train_file(toy_days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {
        "data_path": str(toy_days),
        "feature_config": str(toy_days / "features.yaml"),
        "start_date": "2019-10-01",
        "end_date": "2019-10-03",
        "output_dir": "results",
        "do_train": True,
        "do_eval": True,
        "model_type": "gru",
        "d_model": 16,
        "n_layer": 1,
        "learning_rate": 0.001,
        "report_to": "none",
        "use_cpu": True,
        "workers_count": 0,
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(settings))
    (tmp_path / "space.yaml").write_text("learning_rate: {low: 0.001, high: 0.02, log: true}\n")
    return path


def test_a_search_writes_settings_that_train_takes_and_reports_the_later_days(train_file, tmp_path, capsys):
    line = ["tune", str(train_file), "--trials", "2", "--space", "space.yaml", "--output", "found"]
    assert cli.main(line) == 0
    said = capsys.readouterr()
    assert "2 trials on 1 day, reported on the 1 day after" in said.err
    assert "given" in said.out and "best" in said.out
    best = yaml.safe_load((tmp_path / "found" / "best.yaml").read_text())
    assert best | {"learning_rate": 0.001} == yaml.safe_load(train_file.read_text())
    # Both were trained over all days; the trials' own folders are gone.
    assert {path.name for path in (tmp_path / "found").iterdir() if path.is_dir()} == {"given", "best"}
    assert (tmp_path / "found" / "best" / "pred_logs" / "preds_date_2019-10-03.parquet").exists()
    # Nothing of the run that the file describes was written.
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "tune what?"),
        (["FILE", "--metric", "ndgc@20"], "--metric ndgc@20"),
        (["FILE", "--space", "nowhere.yaml"], "nowhere.yaml"),
        (["FILE", "--trails", "3"], "did you mean --trials?"),
        (["missing.yaml"], "missing.yaml"),
    ],
)
def test_mistakes_are_named(train_file, capsys, flags, message):
    flags = [str(train_file) if flag == "FILE" else flag for flag in flags]
    assert cli.main(["tune", *flags]) == 2
    assert message in capsys.readouterr().err
