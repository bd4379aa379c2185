from datetime import UTC, datetime, timedelta

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.steps import plausibility
from transformers4recsys.preprocessing.times import day_number

DAY = 86_400_000
START = day_number("2024-01-05", "day", flag="") * DAY


@pytest.fixture
def check(database, table, recipe):
    """Check rows of (session, milliseconds since START, user)."""

    def run(rows, written=None, **settings):
        keys, times, users = map(list, zip(*rows, strict=True))
        made = table(_key=keys, _time=[START + time for time in times], _user=users)
        return plausibility.check(database, made, recipe(user_column="user", **settings), written or {})

    return run


def test_sessions_of_several_users_are_refused_from_one_in_a_hundred_on(check):
    rows = [(f"s{i}", time, i) for i in range(100) for time in (0, 1)]
    assert check(rows)["sessions_with_several_users"] == 0
    shared = [*rows, ("s0", 2, 99)]
    with pytest.raises(InputError, match="1 of 100 values of `session_column` visit have events of several users"):
        check(shared)
    assert check(shared, allow_shared_sessions=True)["sessions_with_several_users"] == 1
    assert check([*shared, ("s100", 0, 1)])["sessions"] == 101


def test_numbers_that_begin_anew_each_day_are_refused_and_a_pause_is_the_cure(check):
    rows = [(session, day * DAY + time, session) for session in range(3) for day in (0, 1) for time in (0, 1)]
    with pytest.raises(InputError, match="3 of 3 sessions .* last longer than a day.*`session_gap_minutes`"):
        check(rows)
    assert check(rows, allow_long_sessions=True)["sessions_longer_than_a_day"] == 3
    assert check(rows, session_gap_minutes=30)["sessions_longer_than_a_day"] == 0
    # A session over midnight in a log of dates alone.
    assert check([(1, 0, 1), (1, DAY, 1)])["sessions_longer_than_a_day"] == 0


def test_events_later_than_now_are_refused(check, monkeypatch):
    monkeypatch.setattr(plausibility, "now", lambda: datetime(2024, 1, 6, tzinfo=UTC) - timedelta(hours=1))
    rows = [("s", 0, 1), ("s", 2 * DAY - 3_600_000, 1)]
    assert check(rows, allow_long_sessions=True)["events_later_than_now"] == 0
    late = [*rows, ("t", 2 * DAY, 1)]
    with pytest.raises(InputError, match="1 events are later than now, up to 2024-01-07 00:00:00"):
        check(late, allow_long_sessions=True)
    assert check(late, allow_long_sessions=True, allow_outlying_times=True)["events_later_than_now"] == 1


@pytest.mark.parametrize("offset", [-400, 300])
def test_a_clock_far_from_all_others_is_refused(check, offset):
    rows = [(f"s{day}", day * DAY + time, 1) for day in range(3) for time in range(8)]
    stray = [*rows, ("t", offset * DAY, 1)]
    with pytest.raises(InputError, match=r"1 events lie far from all others \(20"):
        check(stray)
    assert check(stray, allow_outlying_times=True)["days_far_from_others"] == 1
    assert check(rows)["days_far_from_others"] == 0


def test_days_of_earlier_calls_count_among_the_others(check):
    written = {f"2024-01-0{day}": 500 for day in range(1, 5)}
    assert check([("s", 0, 1), ("s", 1, 1)], written)["days_far_from_others"] == 0
    with pytest.raises(InputError, match="lie far from all others"):
        check([("s", 90 * DAY, 1), ("s", 90 * DAY + 1, 1)], written)


@pytest.mark.parametrize(
    ("events_of_day", "expected"),
    [
        ({0: 100, 1: 100}, []),
        ({0: 100, 1: 100, 31: 1}, []),
        ({0: 100, 1: 100, 32: 1}, [32]),
        # The first days of the next season, as many a day as before.
        (dict.fromkeys(range(100), 50) | {200: 50, 201: 50}, []),
        ({0: 3, 100: 100, 101: 90, 300: 2}, [0, 300]),
    ],
)
def test_days_apart_with_few_events_are_outlying(events_of_day, expected):
    assert plausibility.outlying(events_of_day) == expected


def test_empty_days_are_refused(recipe):
    plausibility.check_empty({"2024-01-05": 2, "2024-01-06": 1}, recipe(), "")
    with pytest.raises(InputError, match="the files of 2024-01-06 would be empty"):
        plausibility.check_empty({"2024-01-05": 2, "2024-01-06": 0}, recipe(), "")
    plausibility.check_empty({"2024-01-05": 2, "2024-01-06": 0}, recipe(allow_empty_days=True), "")
    with pytest.raises(InputError, match="no day has a session of two events or more: 3 in sessions of a single event"):
        plausibility.check_empty({"2024-01-05": 0}, recipe(allow_empty_days=True), "3 in sessions of a single event")
