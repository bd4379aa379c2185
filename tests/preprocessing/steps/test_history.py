import pytest

from transformers4recsys.preprocessing.steps import history


@pytest.fixture
def sessions(table):
    """Rows and events of sessions (row, user, times of its events); items are row * 10 + position."""

    def make(*sessions):
        rows = {
            "_row": [row for row, *_ in sessions],
            "_user": [user for _, user, _ in sessions],
            "_start": [times[0] for *_, times in sessions],
            "_length": [len(times) for *_, times in sessions],
        }
        each = [(row, position, time) for row, _, times in sessions for position, time in enumerate(times)]
        events = dict(zip(("_row", "_position", "_time"), map(list, zip(*each, strict=True)), strict=True))
        return table(**rows), table(**events, item=[row * 10 + position for row, position, _ in each])

    return make


@pytest.fixture
def items(database, recipe):
    """The past items of each session, by row; bundles come one after the other. Its own items are checked."""

    def find(*bundles, length=4, longest=5):
        chosen = recipe(user_column="user", past_length_max=length, session_length_max=longest)
        found = {}
        for rows, events in bundles:
            all_events = history.with_history(database.append("events", events), database, rows, chosen)
            for row in database.rows(database.with_lists("lists", rows, all_events, ["item"], history=length)):
                assert row["item"] == [row["_row"] * 10 + position for position in range(row["_length"])]
                found[row["_row"]] = row["bef_item"]
        return found

    return find


def test_the_last_events_of_earlier_sessions_oldest_first(sessions, items):
    log = sessions((1, "u", [1, 2, 3]), (2, "u", [11, 12, 13]), (3, "v", [15, 16]), (4, "u", [21, 22]))
    assert items(log) == {1: [], 2: [10, 11, 12], 3: [], 4: [12, 20, 21, 22]}


def test_later_bundles_know_the_earlier_ones(sessions, items):
    first, second = sessions((1, "u", [1, 2]), (2, "v", [3, 4])), sessions((3, "u", [11, 12]), (4, "u", [21, 22]))
    third = sessions((5, "u", [31, 32]), (6, "v", [33, 34]), (7, "w", [35, 36]))
    assert items(first, second, third) == {
        1: [],
        2: [],
        3: [10, 11],
        4: [10, 11, 30, 31],
        5: [30, 31, 40, 41],
        6: [20, 21],
        7: [],
    }


def test_events_at_or_after_the_start_are_not_past(sessions, items):
    # The first session goes on while the second one runs.
    log = sessions((1, "u", [1, 5, 9]), (2, "u", [5, 6]), (3, "u", [20, 21]))
    assert items(log, length=9) == {1: [], 2: [10], 3: [10, 11, 12, 20, 21]}


def test_sessions_that_start_together_know_nothing_of_one_another(sessions, items):
    log = sessions((1, "u", [0, 0]), (2, "u", [5, 5]), (3, "u", [5, 5, 5]), (4, "u", [5, 5]))
    assert items(log) == {1: [], 2: [10, 11], 3: [10, 11], 4: [10, 11]}


def test_without_a_user_there_is_no_past(sessions, items):
    assert items(sessions((1, None, [1, 2]), (2, None, [11, 12]), (3, "u", [21, 22]))) == {1: [], 2: [], 3: []}


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_long_history_gives_just_the_last_events(sessions, items, length):
    times = [[100 * row + i for i in range(2 + row % 4)] for row in range(40)]
    events = [(row, position) for row in range(40) for position in range(len(times[row]))]
    found = items(sessions(*((row, "u", times[row]) for row in range(40))), length=length)
    for row in range(40):
        assert found[row] == [10 * r + p for r, p in events if r < row][-length:]
