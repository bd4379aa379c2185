import pytest

from transformers4recsys.preprocessing import past


@pytest.fixture
def rows(database, table):
    """Sessions (row, user, times of its events) as `day_files.as_rows` gives them; items are row * 10 + position."""

    def make(*sessions):
        events = [
            [{"_position": i, "_time": time, "item": row * 10 + i} for i, time in enumerate(times)]
            for row, _, times in sessions
        ]
        made = table(
            _row=[row for row, *_ in sessions],
            _user=[user for _, user, _ in sessions],
            _start=[times[0] for *_, times in sessions],
            _length=[len(times) for *_, times in sessions],
            _events=events,
        )
        return made.mutate(_row=made["_row"].cast("int64"), _length=made["_length"].cast("int64"))

    return make


@pytest.fixture
def items(database, recipe):
    """The past items of each session, by row; bundles come one after the other."""

    def find(*bundles, length=4, longest=5):
        chosen = recipe(user_column="user", past_length_max=length, session_length_max=longest)
        found = {}
        for rows in bundles:
            made = database.rows(past.with_past(database, rows, chosen))
            found |= {row["_row"]: [event["item"] for event in row["_past"]] for row in made}
        return found

    return find


def test_the_last_events_of_earlier_sessions_oldest_first(rows, items):
    sessions = rows((1, "u", [1, 2, 3]), (2, "u", [11, 12, 13]), (3, "v", [15, 16]), (4, "u", [21, 22]))
    assert items(sessions) == {1: [], 2: [10, 11, 12], 3: [], 4: [12, 20, 21, 22]}


def test_later_bundles_know_the_earlier_ones(rows, items):
    first, second = rows((1, "u", [1, 2]), (2, "v", [3, 4])), rows((3, "u", [11, 12]), (4, "u", [21, 22]))
    third = rows((5, "u", [31, 32]), (6, "v", [33, 34]), (7, "w", [35, 36]))
    assert items(first, second, third) == {
        1: [],
        2: [],
        3: [10, 11],
        4: [10, 11, 30, 31],
        5: [30, 31, 40, 41],
        6: [20, 21],
        7: [],
    }


def test_events_at_or_after_the_start_are_not_past(rows, items):
    # The first session goes on while the second one runs.
    sessions = rows((1, "u", [1, 5, 9]), (2, "u", [5, 6]), (3, "u", [20, 21]))
    assert items(sessions, length=9) == {1: [], 2: [10], 3: [10, 11, 12, 20, 21]}


def test_sessions_that_start_together_know_nothing_of_one_another(rows, items):
    sessions = rows((1, "u", [0, 0]), (2, "u", [5, 5]), (3, "u", [5, 5, 5]), (4, "u", [5, 5]))
    assert items(sessions) == {1: [], 2: [10, 11], 3: [10, 11], 4: [10, 11]}


def test_without_a_user_there_is_no_past(rows, items):
    assert items(rows((1, None, [1, 2]), (2, None, [11, 12]), (3, "u", [21, 22]))) == {1: [], 2: [], 3: []}


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_long_history_gives_just_the_last_events(rows, items, length):
    times = [[100 * row + i for i in range(2 + row % 4)] for row in range(40)]
    events = [(row, position) for row in range(40) for position in range(len(times[row]))]
    found = items(rows(*((row, "u", times[row]) for row in range(40))), length=length)
    for row in range(40):
        assert found[row] == [10 * r + p for r, p in events if r < row][-length:]
