"""TensorBoard gets all days of a run on one axis, in a folder of its own."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from transformers4recsys.errors import InputError
from transformers4recsys.reporting.loggers import new_folder, open_loggers, safe_name


def test_tensorboard_shows_all_days_on_one_axis(run_train, tmp_path):
    run_train("mine", end_date="2019-10-04", report_to="tensorboard", logging_steps=1)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_mine") and len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder)).Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 9
    days = events.Scalars("eval/recall@20")
    assert len(days) == 3 and days[-1].step == steps[-1]
    sections = {tag: tag.partition("/")[0] for tag in events.Tags()["scalars"]}
    assert min(sections.values()) == "eval"
    assert {tag.split("@")[0] for tag, section in sections.items() if section == "same_as_mrr"} == {
        "same_as_mrr/eval_avg_precision",
        "same_as_mrr/eval_most_popular_avg_precision",
        "same_as_mrr/train_train_avg_precision",
        "same_as_mrr/train_train_most_popular_avg_precision",
    }
    assert not [tag for tag, section in sections.items() if "avg_precision" in tag and section != "same_as_mrr"]


def test_tensorboard_runs_have_the_name_that_is_given(run_train, tmp_path):
    run_train("mine", end_date="2019-10-02", report_to="tensorboard", run_name="first try", experiments_group="all")
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_first try")


def test_runs_of_one_name_have_a_folder_each(tmp_path):
    names = [new_folder(tmp_path / "runs", "2024-01-02_mine").name for _ in range(3)]
    assert names == ["2024-01-02_mine", "2024-01-02_mine_2", "2024-01-02_mine_3"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("first try", "first try"),
        ("../../elsewhere", "_.._elsewhere"),
        ("/etc", "_etc"),
        ("a/b\\c\0d:e", "a_b_c_d_e"),
        ("..", "run"),
        ("", "run"),
        ("Gr\u00f6\u00dfe 2", "Gr\u00f6\u00dfe 2"),
        ("x" * 300, "x" * 100),
    ],
)
def test_no_name_leaves_its_folder(name, safe):
    assert safe_name(name) == safe


def test_a_run_whose_name_is_a_path_stays_in_runs(run_train, tmp_path):
    run_train("mine", end_date="2019-10-02", report_to="tensorboard", run_name="../up", experiments_group="../x")
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("__up")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["days", "mine", "runs"]


def test_runs_that_cannot_be_made_are_told(run_train, tmp_path, capsys):
    (tmp_path / "runs").touch()
    run_train("mine", exit_code=2, end_date="2019-10-02", report_to="tensorboard")
    said = capsys.readouterr().err
    assert "runs/" in said and "cannot be written" in said and "Traceback" not in said


def test_an_unknown_logger_is_refused():
    with pytest.raises(InputError, match="`report_to` printer"):
        open_loggers(["printer"], group="g", run_name="r", settings={})


@pytest.mark.parametrize("name", ["mlflow", "comet_ml"])
def test_a_logger_that_is_not_installed_is_named(name):
    with pytest.raises(InputError, match=f"`report_to` {name}: its package is not installed"):
        open_loggers([name], group="g", run_name="r", settings={})
