import datetime as dt

import ibis
import pyarrow as pa
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times

# 2019-10-03 was a Thursday; 2019-10-03 00:00 UTC is 1570060800 s.
MIDNIGHT = 1_570_060_800_000


def read(database, table, values, kind=None, **settings):
    made = table({"time": kind} if kind else None, time=values)
    settings = {"time_format": None, "epoch_unit": None} | settings
    column = times.milliseconds(made["time"], where="`time_column` time", parse=database.parse_time, **settings)
    return [row["time"] for row in database.rows(made.select(time=column))]


def test_text_of_the_known_shops(database, table):
    texts = [
        "2019-10-03 00:00:01 UTC",
        "2019-10-03T00:00:00.277Z",
        "2019-10-03",
        "2019-10-03T02:00:00+02:00",
        "nonsense",
        None,
    ]
    assert read(database, table, texts) == [MIDNIGHT + 1000, MIDNIGHT + 277, MIDNIGHT, MIDNIGHT, None, None]


def test_text_in_a_format_of_its_own(database, table):
    # Letters between the parts stand for themselves.
    time_format, texts = "%d/%m/%YT%H:%M:%S o'clock", ["03/10/2019T00:00:05 o'clock", "03/10/2019", "nonsense", None]
    assert read(database, table, texts, time_format=time_format) == [MIDNIGHT + 5000, None, None, None]


@pytest.mark.parametrize(
    ("unit", "value"),
    [("s", 1_570_060_800), ("ms", MIDNIGHT), ("us", MIDNIGHT * 1000 + 999), ("ns", MIDNIGHT * 1_000_000 + 999_000)],
)
def test_numbers_since_1970(database, table, unit, value):
    assert read(database, table, [value, None], pa.int64(), epoch_unit=unit) == [MIDNIGHT, None]


def test_numbers_are_seconds_if_no_unit_is_given(database, table):
    assert read(database, table, [1_570_060_800], pa.int64()) == [MIDNIGHT]


def test_fractions_of_seconds_and_numbers_as_text(database, table):
    assert read(database, table, [1_570_060_800.25], pa.float64()) == [MIDNIGHT + 250]
    assert read(database, table, ["1570060800", "x"], epoch_unit="s") == [MIDNIGHT, None]


@pytest.mark.parametrize("moment", ["00:00:07.277", "00:00:07.9995", "00:00:07.999999"])
def test_one_time_is_one_number_whatever_its_type(database, table, moment):
    time = dt.datetime.fromisoformat(f"2019-10-03T{moment}+00:00")
    microseconds = (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    seconds = f"{microseconds // 10**6}.{microseconds % 10**6:06}"
    found = [
        read(database, table, [time.replace(tzinfo=None)]),
        read(database, table, [time.isoformat()]),
        read(database, table, [time.isoformat(" ")], time_format="%Y-%m-%d %H:%M:%S.%f%z"),
        read(database, table, [float(seconds)], pa.float64()),
        read(database, table, [seconds], epoch_unit="s"),
        read(database, table, [f" {microseconds}"], epoch_unit="us"),
        read(database, table, [f"{microseconds}000"], epoch_unit="ns"),
        read(database, table, [microseconds * 1000], pa.int64(), epoch_unit="ns"),
        read(database, table, [microseconds / 1000], pa.float64(), epoch_unit="ms"),
    ]
    assert found == [[microseconds // 1000]] * len(found)


def test_a_number_too_large_for_a_time_is_none(database, table):
    assert read(database, table, [2**62], pa.int64()) == [None]
    assert read(database, table, [1e300, float("inf")], pa.float64()) == [None, None]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "UTC")])
def test_timestamps(database, table, kind):
    moment = dt.datetime(2019, 10, 3, 0, 0, 7, tzinfo=dt.UTC if kind.tz else None)
    assert read(database, table, [moment, None], kind) == [MIDNIGHT + 7000, None]


def test_a_timestamp_keeps_its_milliseconds(database, table):
    assert read(database, table, [dt.datetime(2019, 10, 3, 0, 0, 7, 999_900)]) == [MIDNIGHT + 7999]


def test_a_time_zone_is_taken_to_utc(database, table):
    moment = dt.datetime(2019, 10, 3, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert read(database, table, [moment], pa.timestamp("us", "Europe/Berlin")) == [MIDNIGHT]


def test_dates(database, table):
    assert read(database, table, [dt.date(2019, 10, 3)]) == [MIDNIGHT]


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("timestamp", ["`time_format` %d", "`epoch_unit` ms"]),
        ("int64", ["`time_format` %d"]),
        ("string", ["`time_format` %d"]),
    ],
)
def test_settings_without_effect_are_named(kind, flags):
    assert times.without_effect(ibis.dtype(kind), time_format="%d", epoch_unit="ms") == flags
    assert times.without_effect(ibis.dtype(kind), time_format=None, epoch_unit=None) == []


def test_another_type_is_an_error(database, table):
    with pytest.raises(InputError, match="`time_column` time is of type boolean"):
        read(database, table, [True])


def test_days_hours_and_weekdays(database, table):
    made = table(time=[MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 13 * 3_600_000 + 5])
    parts = made.select(
        day=times.day_of(made["time"], "day"),
        hour=times.hour_of(made["time"]),
        weekday=times.weekday_of(made["time"]),
        hour_number=times.day_of(made["time"], "hour"),
        moment=times.timestamp(made["time"]),
    )
    rows = database.rows(parts)
    assert [row["weekday"] for row in rows] == [2, 3, 3]
    assert [row["hour"] for row in rows] == [23, 0, 13]
    assert [times.label(row["day"], "day") for row in rows] == ["2019-10-02", "2019-10-03", "2019-10-03"]
    assert times.label(rows[2]["hour_number"], "hour") == "2019-10-03-13"
    assert rows[2]["moment"] == dt.datetime(2019, 10, 3, 13, 0, 0, 5000)


def test_labels_and_numbers_go_back_and_forth():
    assert times.label(times.day_number("2024-02-29", "day", flag="--start_date"), "day") == "2024-02-29"
    assert times.label(times.day_number("2024-02-29-07", "hour", flag="--start_date"), "hour") == "2024-02-29-07"


def test_a_date_that_is_none_is_an_error():
    with pytest.raises(InputError, match="--end_date '2024-02-30' is not a valid date; write YYYY-MM-DD"):
        times.day_number("2024-02-30", "day", flag="--end_date")
