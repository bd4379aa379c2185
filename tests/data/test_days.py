"""Which files belong to which day, and what is said when some are missing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from transformers4recsys.data.days import day_files, days_between, usable_days
from transformers4recsys.day_format import TIME_UNITS
from transformers4recsys.errors import InputError

DAYS = [datetime(2019, 10, number) for number in range(1, 6)]


def folder_of(path: Path, *names: str) -> Path:
    """Make empty files `1-train` ... for the first days of October 2019."""
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        day, split = name.split("-")
        (path / f"session_start_date=2019-10-0{day}-{split}.parquet").touch()
    return path


def all_but(*left_out: str) -> list[str]:
    names = [f"{day}-{split}" for day in range(1, 6) for split in ("train", "valid", "test")]
    return [name for name in names if name not in left_out]


def test_days_include_both_ends_and_cross_a_month():
    assert days_between("2020-02-28", "2020-03-01", TIME_UNITS["day"]) == [
        datetime(2020, 2, 28),
        datetime(2020, 2, 29),
        datetime(2020, 3, 1),
    ]


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2019-10-05", "2019-10-01", "`start_date` 2019-10-05 is after `end_date` 2019-10-01"),
        ("2019-10-01", "2019-10-01", "at least two dates"),
        ("2019-13-01", "2019-10-01", "`start_date` '2019-13-01' is not a valid date; write YYYY-MM-DD"),
        ("2019-10-01", "soon", "`end_date` 'soon' is not a valid date"),
        ("", "2019-10-01", "`start_date` '' is not a valid date"),
    ],
)
def test_dates_that_make_no_run_are_refused(start: str, end: str, said: str):
    with pytest.raises(InputError, match=said):
        days_between(start, end, TIME_UNITS["day"])


def test_files_of_each_day_and_of_the_whole_run(tmp_path: Path):
    folder = folder_of(tmp_path, *all_but())
    days = day_files(str(folder), "2019-10-01", "2019-10-03")
    assert days.present == tuple(DAYS[:3]) and days.missing == ()
    assert days.files(DAYS[1], "train") == [str(folder / "session_start_date=2019-10-02-train.parquet")]
    read = [Path(file).stem.removeprefix("session_start_date=2019-10-0") for file in days.all_files()]
    assert read == ["1-train", "2-valid", "2-train", "3-valid"]


def test_the_test_split_is_found_where_it_is_asked_for(tmp_path: Path):
    folder = folder_of(tmp_path, "1-train", "2-test")
    days = day_files(str(folder), "2019-10-01", "2019-10-02", eval_split="test")
    assert [Path(file).name for file in days.all_files()] == [
        "session_start_date=2019-10-01-train.parquet",
        "session_start_date=2019-10-02-test.parquet",
    ]


def test_all_missing_files_are_listed_at_once_with_the_way_out(tmp_path: Path):
    folder = folder_of(tmp_path, *all_but("2-train", "3-valid", "1-valid", "5-train"))
    with pytest.raises(InputError) as refusal:
        day_files(str(folder), "2019-10-01", "2019-10-05")
    message = str(refusal.value)
    assert str(folder / "session_start_date=2019-10-02-train.parquet") in message
    assert str(folder / "session_start_date=2019-10-03-valid.parquet") in message
    assert "`missing_days` to skip" in message
    # The first day is never evaluated and the last one never trained on: nobody misses these files.
    assert message.startswith("2 missing day files") and "01-valid" not in message and "05-train" not in message


def test_missing_message_says_which_days_there_are(tmp_path: Path):
    folder = folder_of(tmp_path, *all_but())
    with pytest.raises(InputError, match="has files of 5 days, 2019-10-01 to 2019-10-05"):
        day_files(str(folder), "2020-10-01", "2020-10-02")
    with pytest.raises(InputError, match="has no day files at all"):
        day_files(str(folder_of(tmp_path / "empty")), "2019-10-01", "2019-10-02")


def test_skip_leaves_out_the_days_without_their_files(tmp_path: Path):
    folder = folder_of(tmp_path, *all_but("2-train", "4-valid"))
    days = day_files(str(folder), "2019-10-01", "2019-10-05", skip_missing=True)
    assert days.present == (DAYS[0], DAYS[2], DAYS[4])
    assert days.missing == (DAYS[1], DAYS[3])


def test_skip_with_nothing_missing_keeps_all_days(tmp_path: Path):
    folder = folder_of(tmp_path, *all_but())
    days = day_files(str(folder), "2019-10-01", "2019-10-05", skip_missing=True)
    assert days.present == tuple(DAYS) and days.missing == ()


def test_skip_with_fewer_than_two_days_left_is_refused(tmp_path: Path):
    folder = folder_of(tmp_path, "1-train", "1-valid", "2-train")
    with pytest.raises(InputError, match="fewer than two days are left"):
        day_files(str(folder), "2019-10-01", "2019-10-03", skip_missing=True)


@pytest.mark.parametrize(
    ("trains", "valids", "expected"),
    [
        ("1234", "2345", "12345"),
        ("234", "2345", "2345"),
        ("1234", "234", "1234"),
        ("134", "2345", "1345"),
        ("1234", "245", "1245"),
        ("5", "1", ""),
        ("", "12345", ""),
        ("3", "3", "3"),
    ],
)
def test_usable_days(trains: str, valids: str, expected: str):
    found = {(DAYS[int(day) - 1], "train"): () for day in trains} | {
        (DAYS[int(day) - 1], "valid"): () for day in valids
    }
    assert usable_days(DAYS, found, "valid") == [DAYS[int(day) - 1] for day in expected]


def test_hours_cross_midnight_and_are_named_with_their_hour():
    hour = TIME_UNITS["hour"]
    hours = days_between("2019-12-31-22", "2020-01-01-01", hour)
    assert [hour.name(each) for each in hours] == ["2019-12-31-22", "2019-12-31-23", "2020-01-01-00", "2020-01-01-01"]
    assert hour.file_name(hours[2], "train") == "session_start_date=2020-01-01-00-train.parquet"


@pytest.mark.parametrize(
    ("unit", "start", "said"),
    [
        ("hour", "2019-10-01", "YYYY-MM-DD-HH"),
        ("hour", "2019-10-01-24", "not a valid date"),
        ("day", "2019-10-01-13", "not a valid date"),
    ],
)
def test_dates_of_the_other_unit_are_refused(unit: str, start: str, said: str):
    with pytest.raises(InputError, match=said):
        days_between(start, "2019-10-02", TIME_UNITS[unit])


def test_files_of_the_other_unit_are_pointed_out(tmp_path: Path):
    for hour in ("08", "09"):
        (tmp_path / f"session_start_date=2019-10-01-{hour}-train.parquet").touch()
    with pytest.raises(InputError, match="has files of 2 hours, .*Those need `time_unit` hour"):
        day_files(str(tmp_path), "2019-10-01", "2019-10-02")
    with pytest.raises(InputError) as refusal:
        day_files(str(tmp_path), "2019-10-01-08", "2019-10-01-10", time_unit="hour")
    assert "2019-10-01-09-valid.parquet" in str(refusal.value) and "`time_unit`" not in str(refusal.value)


def test_a_folder_of_parts_stands_for_a_file(tmp_path: Path):
    folder = folder_of(tmp_path, "1-train")
    parts = folder / "session_start_date=2019-10-02-valid.parquet"
    parts.mkdir()
    for name in ("part-1.snappy.parquet", "part-0.snappy.parquet", "_SUCCESS", ".part-0.snappy.parquet.crc"):
        (parts / name).touch()
    days = day_files(str(folder), "2019-10-01", "2019-10-02")
    assert days.files(DAYS[1], "valid") == [str(parts / "part-0.snappy.parquet"), str(parts / "part-1.snappy.parquet")]


def test_a_folder_without_parts_is_missing(tmp_path: Path):
    folder = folder_of(tmp_path, "1-train")
    (folder / "session_start_date=2019-10-02-valid.parquet").mkdir()
    with pytest.raises(InputError, match="folder without parquet parts"):
        day_files(str(folder), "2019-10-01", "2019-10-02")


def test_tilde_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder_of(tmp_path / "shop", "1-train", "2-valid")
    days = day_files("~/shop", "2019-10-01", "2019-10-02")
    assert days.files(DAYS[0], "train") == [str(tmp_path / "shop" / "session_start_date=2019-10-01-train.parquet")]


def test_uri_of_a_folder(tmp_path: Path):
    folder = folder_of(tmp_path, "1-train", "2-valid")
    days = day_files(folder.as_uri() + "/", "2019-10-01", "2019-10-02")
    assert days.files(DAYS[0], "train") == [folder.as_uri() + "/session_start_date=2019-10-01-train.parquet"]


@pytest.mark.parametrize("kind", ["", "none", "file", "ftp://host/folder"])
def test_a_data_path_that_is_not_a_folder_is_refused(tmp_path: Path, kind: str):
    (tmp_path / "file").touch()
    data_path = str(tmp_path / kind) if kind in ("none", "file") else kind
    with pytest.raises(InputError, match="is not a folder|is missing|cannot be opened"):
        day_files(data_path, "2019-10-01", "2019-10-02")


def test_the_files_read_at_once_are_those_of_a_window_or_of_an_evaluated_day(tmp_path):
    days = day_files(str(folder_of(tmp_path, *all_but())), "2019-10-01", "2019-10-04")

    def names(window):
        return [
            [Path(file).stem.removeprefix("session_start_date=2019-10-0") for file in files]
            for files in days.read_together(window)
        ]

    assert names(1) == [["1-train"], ["2-valid"], ["2-train"], ["3-valid"], ["3-train"], ["4-valid"]]
    assert names(2)[::2] == [["1-train"], ["1-train", "2-train"], ["2-train", "3-train"]]


def test_files_of_another_split_come_in_on_days_that_have_both(tmp_path):
    folder = str(folder_of(tmp_path, *all_but("3-valid", "4-test")))
    given = {"start_date": "2019-10-01", "end_date": "2019-10-05", "skip_missing": True}
    days = day_files(folder, eval_split="test", **given)
    both, files = days.with_split(day_files(folder, eval_split="valid", **given))
    assert [day.day for day in both.present] == [1, 2, 5]
    assert both.files(DAYS[1], "valid") and both.files(DAYS[1], "test") and len(files) == len(set(files))
    assert {Path(file).name[-16:-8] for file in files} >= {"05-valid", "-05-test"}
