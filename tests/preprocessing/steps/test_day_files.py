import hashlib

import pytest

from transformers4recsys.preprocessing.steps import day_files
from transformers4recsys.preprocessing.steps.sessions import first_row


@pytest.fixture
def rows(database, table):
    """Two sessions of the days 3 and 4."""
    events = table(
        _row=[first_row(4), first_row(3), first_row(4), first_row(3), first_row(4)],
        _position=[2, 1, 0, 0, 1],
        _time=[32, 21, 30, 20, 31],
        _user=[7, 8, 7, 9, 7],
        item_id=[5, 4, 3, 2, 1],
    )
    starts = table(
        _row=[first_row(3), first_row(3) + 1, first_row(4)], session_id=["a", "short", "b"], _start=[20, 25, 30]
    )
    return database.keep("rows", day_files.as_rows(events, starts))


def test_a_row_has_the_length_of_its_session_and_the_user_of_its_first_event(database, rows):
    found = database.rows(rows.select("session_id", "_start", "_user", "_length").order_by("session_id"))
    assert found == [
        {"session_id": "a", "_start": 20, "_user": 9, "_length": 2},
        {"session_id": "b", "_start": 30, "_user": 7, "_length": 3},
    ]


@pytest.mark.parametrize("session_id", ["a", "b", "c", "d", "7", "ü"])
def test_the_half_follows_from_the_md5_of_the_id(database, table, session_id):
    events = table(_row=[0], _position=[0], _time=[0], item_id=[1])
    starts = table(_row=[0], session_id=[session_id], _start=[0])
    found = database.rows(day_files.as_rows(events, starts))[0]["_half"]
    is_valid = hashlib.md5(session_id.encode()).hexdigest()[0] in "01234567"
    assert found == ("valid" if is_valid else "test")


def test_sessions_are_counted_by_day_and_half(database, rows):
    # MD5 of a begins with 0, that of b with 9.
    assert sorted(database.rows(day_files.halves(rows)), key=lambda row: row["day"]) == [
        {"day": 3, "sessions": 1, "valid_sessions": 1, "test_sessions": 0},
        {"day": 4, "sessions": 1, "valid_sessions": 0, "test_sessions": 1},
    ]


def test_a_day_has_three_files(tmp_path):
    assert day_files.files_of(tmp_path, {0: "2024-01-05"}) == {
        (0, split): tmp_path / f"session_start_date=2024-01-05-{split}.parquet" for split in ("train", "valid", "test")
    }
