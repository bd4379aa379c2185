from datetime import datetime

import pytest

from transformers4recsys.preprocessing.report import leaks


@pytest.fixture
def rows(table):
    """Sessions (id, times in January 2024) become rows as they are read from the files of their days, or of `day`."""

    def make(*sessions, day=None):
        times = [[datetime(2024, 1, *time) for time in times] for _, *times in sessions]
        return table(
            session_id=[name for name, *_ in sessions],
            session_start=[each[0] for each in times],
            event_time=times,
            _day=[(datetime(2024, 1, day or each[0].day) - datetime(1970, 1, 1)).days for each in times],
        )

    return make


def test_a_session_past_midnight_is_counted_and_breaks_no_rule(database, rows, recipe):
    train = rows(("a", (1, 10), (1, 11)), ("b", (1, 23), (2, 0), (2, 2)), ("c", (2, 1)), ("d", (4, 1)))
    found = leaks.check(database, train, rows(("c", (2, 1)), ("d", (4, 1))), recipe())
    assert found["is_ok"]
    # Day 2 is followed by day 4; the last day is followed by none.
    assert [(p["trained_on"], p["rows"], p["rows_later"], p["events_later"]) for p in found["pairs"]] == [
        ("2024-01-01", 2, 0, 1),
        ("2024-01-02", 1, 0, 0),
    ]
    assert found["pairs"][0]["trained_until"] == "2024-01-02 02:00:00"
    assert found["pairs"][0]["evaluated_from"] == "2024-01-02 01:00:00"


def test_a_later_session_in_the_file_of_a_day_breaks_the_rule(database, rows, recipe):
    train = rows(("a", (1, 10)), ("c", (2, 1)), ("z", (3, 5)), day=1).union(rows(("c", (2, 1)), ("d", (2, 3))))
    found = leaks.check(database, train, rows(("c", (2, 1)), ("d", (2, 3))), recipe())
    assert not found["is_ok"]
    assert [(p["trained_on"], p["rows"], p["rows_later"]) for p in found["pairs"]] == [("2024-01-01", 3, 2)]


def test_time_allows_no_training_event_at_the_first_target_or_later(database, rows, recipe):
    by_time = recipe(split="time")
    evaluated = rows(("a", (1, 1), (3, 5)), ("b", (3, 2), (3, 9)))
    good = leaks.check(database, rows(("a", (1, 1), (3, 4))), evaluated, by_time)
    bad = leaks.check(database, rows(("a", (1, 1), (3, 5)), ("c", (3, 6), (3, 7))), evaluated, by_time)
    assert good["is_ok"] and good["pairs"][0]["rows_later"] == 0
    assert not bad["is_ok"]
    assert [(pair["rows"], pair["rows_later"], pair["events_later"]) for pair in bad["pairs"]] == [(2, 2, 3)]


def test_leave_one_out_looks_at_the_same_sequence(database, rows, recipe):
    one_out = recipe(split="leave_one_out")
    evaluated = rows(("a", (1, 1), (1, 2), (1, 3)), ("b", (5, 1), (5, 2), (5, 3)))
    good = leaks.check(database, rows(("a", (1, 1), (1, 2)), ("b", (5, 1), (5, 2)), ("z", (9, 1))), evaluated, one_out)
    assert good["is_ok"] and good["pairs"][0]["events_later"] == 3
    bad = leaks.check(database, rows(("a", (1, 1), (1, 4)), ("b", (5, 1), (5, 2))), evaluated, one_out)
    assert not bad["is_ok"] and bad["pairs"][0]["rows_later"] == 1


def test_without_times_nothing_can_be_said(database, rows, recipe):
    log = rows(("a", (1, 1), (1, 2)))
    made = recipe(split="leave_one_out", time_column=None, order_column="n")
    assert leaks.check(database, log, log, made)["is_ok"] is None
