import os

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.raw_files import raw_files


@pytest.fixture
def logs(tmp_path):
    for name in ("b.parquet", "a.parquet", "deep/c.PARQUET", "_SUCCESS", ".hidden.parquet", "_tmp/d.parquet", "x.txt"):
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "logs"


def names(found, logs):
    return [name.removeprefix(f"{logs}/") for name in found]


def test_a_folder_gives_its_files_sorted_without_hidden_ones(logs, tmp_path):
    kind, found = raw_files(logs, output=tmp_path / "out")
    assert (kind, names(found, logs)) == ("parquet", ["a.parquet", "b.parquet", "deep/c.PARQUET"])


def test_a_pattern_and_several_inputs_give_each_file_once(logs, tmp_path):
    _, found = raw_files([f"{logs}/*.parquet", str(logs / "a.parquet")], output=tmp_path / "out")
    assert names(found, logs) == ["a.parquet", "b.parquet"]


def test_csv_may_be_compressed(tmp_path):
    (tmp_path / "a.csv.gz").touch()
    assert raw_files(tmp_path / "a.csv.gz", output=tmp_path / "out") == ("csv", [str(tmp_path / "a.csv.gz")])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("none.parquet", "there is no such file or folder"),
        ("*.json", "there is no such file or folder"),
        ("x.txt", "give files of one kind"),
        ("_empty", "no file in this folder ends in .parquet"),
    ],
)
def test_nothing_to_read_is_an_error(logs, tmp_path, given, message):
    (logs / "_empty").mkdir()
    with pytest.raises(InputError, match=message):
        raw_files(logs / given, output=tmp_path / "out")


def test_a_pipe_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    with pytest.raises(InputError, match="log.csv is a pipe or a device.*save it as a file"):
        raw_files(tmp_path / "log.csv", output=tmp_path / "out")


def test_two_kinds_are_an_error(logs, tmp_path):
    (logs / "a.csv").touch()
    with pytest.raises(InputError, match="give files of one kind"):
        raw_files(logs, output=tmp_path / "out")


@pytest.mark.parametrize("output", [".", "deep", "deep/days", "new"])
def test_an_output_inside_the_input_folder_is_an_error(logs, output):
    with pytest.raises(InputError, match="lies in the input folder"):
        raw_files(logs, output=logs / output)


def test_a_file_of_the_output_is_no_input(logs):
    with pytest.raises(InputError, match="lies in the output folder"):
        raw_files(f"{logs}/deep/*.PARQUET", output=logs / "deep")


@pytest.mark.parametrize("pattern", ["../*.parquet", "/etc/*", "a/../../b"])
def test_a_pattern_does_not_lead_out_of_the_input(logs, tmp_path, pattern):
    with pytest.raises(InputError, match="`files` .* leads out of the input"):
        raw_files(logs, output=tmp_path / "out", pattern=pattern)


def test_a_pattern_for_folders_chooses_by_name(logs, tmp_path):
    kind, found = raw_files(logs, output=tmp_path / "out", pattern="[ab].parquet")
    assert (kind, names(found, logs)) == ("parquet", ["a.parquet", "b.parquet"])
    with pytest.raises(InputError, match=r"no file in this folder matches \*\.dat"):
        raw_files(logs, output=tmp_path / "out", pattern="*.dat")


def test_a_given_format_goes_before_the_names(logs, tmp_path):
    kind, found = raw_files(logs / "x.txt", output=tmp_path / "out", file_format="json")
    assert (kind, names(found, logs)) == ("json", ["x.txt"])
    _, found = raw_files(logs, output=tmp_path / "out", file_format="csv")
    assert names(found, logs) == ["a.parquet", "b.parquet", "deep/c.PARQUET", "x.txt"]
