"""Result files: what they say after each day, after a kill, and when a run goes on."""

import csv

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.result_files import ResultFiles, read_days


def report(day: int, split: str, **numbers) -> Report:
    return Report(f"2019-10-{day:02d}", split, {f"{split}_{name}": value for name, value in numbers.items()})


def rows_of(folder) -> list[dict[str, str]]:
    with (folder / "eval_train_results_dates.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_of_two_days(tmp_path):
    files = ResultFiles(tmp_path / "new")
    files.numbers(report(2, "train", loss=3.0))
    files.numbers(Report("2019-10-02", "eval", {"eval_recall@5": 0.25, "eval_loss": 1 / 3, "eval_num_targets": 12}))
    files.numbers(report(3, "train", loss=2.0))
    files.numbers(Report("2019-10-03", "eval", {"eval_recall@5": None, "eval_loss": None, "eval_num_targets": 0}))
    folder = tmp_path / "new"
    assert (folder / "eval_results_dates.txt").read_text() == (
        "***** eval results (2019-10-02) *****\n"
        "eval_loss = 0.3333333333333333\n"
        "eval_num_targets = 12\n"
        "eval_recall@5 = 0.25\n"
        "\n"
        "***** eval results (2019-10-03) *****\n"
        "eval_loss = null\n"
        "eval_num_targets = 0\n"
        "eval_recall@5 = null\n"
    )
    assert (folder / "train_results_dates.txt").read_text() == (
        "***** train results (2019-10-02) *****\ntrain_loss = 3.0\n\n"
        "***** train results (2019-10-03) *****\ntrain_loss = 2.0\n"
    )
    assert (folder / "eval_results_avg_over_days.txt").read_text() == (
        "***** Eval results (avg over dates) *****\n"
        "eval_loss = 0.3333333333333333\n"
        "eval_num_targets = 6.0\n"
        "eval_recall@5 = 0.25\n"
        "num_days = 1\n"
        "train_loss = 2.5\n"
    )
    assert (folder / "eval_train_results_dates.csv").read_text() == (
        "index,eval_loss,eval_num_targets,eval_recall@5,train_loss\n"
        "2019-10-02,0.3333333333333333,12,0.25,3.0\n"
        "2019-10-03,,0,,2.0\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "eval_results_avg_over_days.txt",
        "eval_results_dates.txt",
        "eval_train_results_dates.csv",
        "train_results_dates.txt",
    ]


def test_a_run_that_goes_on_keeps_the_days_and_replaces_the_one_done_again(tmp_path):
    first = ResultFiles(tmp_path)
    for day in (2, 3):
        first.numbers(report(day, "train", loss=float(day)))
        first.numbers(report(day, "eval", loss=day / 3, gone=None))
    second = ResultFiles(tmp_path)
    second.numbers(report(3, "eval", loss=0.5))
    second.numbers(report(4, "eval", loss=float("nan")))
    assert [(row["index"], row["eval_loss"], row["train_loss"]) for row in rows_of(tmp_path)] == [
        ("2019-10-02", "0.6666666666666666", "2.0"),
        ("2019-10-03", "0.5", "3.0"),
        ("2019-10-04", "nan", ""),
    ]
    text = (tmp_path / "eval_results_dates.txt").read_text()
    assert text.count("2019-10-03") == 1
    assert text.count("eval_gone = null") == 1
    assert "eval_loss = NaN" in text


def test_every_number_is_read_back_as_it_was(tmp_path):
    numbers = {"eval_a": 0.1 + 0.2, "eval_b": None, "eval_c": 3, "eval_d@1000": 1e-300}
    ResultFiles(tmp_path).numbers(Report("2019-10-02-13", "eval", numbers))
    assert read_days(tmp_path).of_split("eval") == {"2019-10-02-13": numbers}


def test_an_empty_folder_has_no_days_and_stays_empty(tmp_path):
    assert read_days(tmp_path / "none").of_all_splits() == {}
    ResultFiles(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_kill_while_writing_leaves_the_old_file_whole(tmp_path, monkeypatch):
    files = ResultFiles(tmp_path)
    files.numbers(report(2, "eval", loss=1.0))
    before = (tmp_path / "eval_results_dates.txt").read_text()
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        files.numbers(report(3, "eval", loss=1.0))
    assert (tmp_path / "eval_results_dates.txt").read_text() == before


def test_a_result_file_that_is_none_is_named_with_its_line(tmp_path):
    (tmp_path / "eval_results_dates.txt").write_text("***** eval results (2019-10-02) *****\neval_loss = about 3\n")
    with pytest.raises(InputError, match=r"eval_results_dates.txt, line 2: .*'eval_loss = about 3'.*start anew"):
        ResultFiles(tmp_path)
