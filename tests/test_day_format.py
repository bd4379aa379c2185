"""How files of days are called."""

from datetime import datetime

import pytest

from transformers4recsys.day_format import SPLITS, TIME_UNITS, file_name, vocabulary_file
from transformers4recsys.errors import InputError

DAY, HOUR = TIME_UNITS["day"], TIME_UNITS["hour"]


def test_names_are_the_documented_ones():
    assert SPLITS == ("train", "valid", "test")
    assert file_name("2019-10-01", "valid") == "session_start_date=2019-10-01-valid.parquet"
    assert DAY.file_name(datetime(2019, 10, 1), "valid") == "session_start_date=2019-10-01-valid.parquet"
    assert HOUR.file_name(datetime(2019, 10, 1, 7), "train") == "session_start_date=2019-10-01-07-train.parquet"
    assert vocabulary_file("item_id") == "vocabulary/item_id.parquet"


def test_units_last_as_long_as_they_say():
    assert (DAY.milliseconds, HOUR.milliseconds) == (86_400_000, 3_600_000)


@pytest.mark.parametrize("unit", TIME_UNITS.values())
def test_what_is_named_is_read(unit):
    assert unit.name(unit.parse(unit.example, "--start_date")) == unit.example


@pytest.mark.parametrize(
    ("unit", "text", "said"),
    [
        (DAY, "2019-13-01", "--end_date '2019-13-01' is not a valid date; write YYYY-MM-DD, such as 2019-10-01"),
        (DAY, "2019-10-01-13", "is not a valid date"),
        (HOUR, "2019-10-01", "write YYYY-MM-DD-HH"),
        (HOUR, "2019-10-01-24", "is not a valid date"),
        (DAY, "", "'' is not a valid date"),
    ],
)
def test_other_dates_are_refused(unit, text, said):
    with pytest.raises(InputError, match=said):
        unit.parse(text, "--end_date")


def test_files_of_a_unit_are_recognized_and_others_are_not():
    names = [file_name(day, split) for day in ("2019-10-02", "2019-10-01", "2019-10-01-07") for split in SPLITS]
    names += ["session_start_date=2019-10-03-train.parquet.tmp", "session_start_date=2019-10-03-other.parquet"]
    names += ["xsession_start_date=2019-10-03-train.parquet", "session_start_date=2019-10-03-trainxparquet"]
    assert DAY.names_in(names) == ["2019-10-01", "2019-10-02"]
    assert HOUR.names_in(names) == ["2019-10-01-07"]
