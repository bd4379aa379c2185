import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.steps import sessions

MINUTE = 60_000
DAY = 86_400_000


@pytest.fixture
def made(database, table, recipe):
    """Events (time, item, and more columns) of one session, as `in_order` gives them, with the recipe."""

    def make(rows, *more, **settings):
        columns = zip(("_time", "item_id", *more), map(list, zip(*rows, strict=True)), strict=True)
        events = table(_row=[0] * len(rows), _first_seen=[0] * len(rows), **dict(columns))
        chosen = recipe(**settings)
        return database.keep("ordered", sessions.in_order(events, chosen)), chosen

    return make


def items(database, ordered):
    return [row["item_id"] for row in database.rows(ordered.order_by(ordered["_from_end"].desc()))]


def test_a_pause_longer_than_the_gap_begins_a_session(database, table):
    times = [0, 30 * MINUTE, 60 * MINUTE + 1, 60 * MINUTE + 1, 100 * MINUTE]
    events = table(_key=["u"] * 5 + ["v"], _time=[*times, 45 * MINUTE])
    rows = database.rows(sessions.with_start(events, 30).order_by(["_key", "_time"]))
    second = 60 * MINUTE + 1
    assert [row["_start"] for row in rows] == [0, 0, second, second, 100 * MINUTE, 45 * MINUTE]


def test_sessions_by_id_are_numbered_by_day_start_and_id(database, table, recipe):
    events = table(_key=["b", "a", "c", "b", "d"], _time=[5, 5, 3, 9, DAY + 1])
    rows = database.rows(sessions.numbered(events, recipe()).order_by("_row"))
    assert [(row["session_id"], row["_start"], row["_day"]) for row in rows] == [
        ("c", 3, 0),
        ("a", 5, 0),
        ("b", 5, 0),
        ("d", DAY + 1, 1),
    ]
    assert [row["_row"] for row in rows] == [0, 1, 2, sessions.first_row(1)]


def test_sessions_of_earlier_calls_are_left_out(database, table, tmp_path):
    database.write({tmp_path / "1.parquet": table(visit=["a", "c", "a"])})
    events = table(_key=["a", "b", "b", "a", "d"], item_id=[1, 2, 3, 4, 5])
    rows = database.rows(sessions.of_new(events, database, [str(tmp_path / "1.parquet")], "visit").order_by("item_id"))
    assert [row["item_id"] for row in rows] == [2, 3, 5]


def test_session_ids_of_another_type_are_an_error(database, table, tmp_path):
    database.write({tmp_path / "1.parquet": table(visit=["7"])})
    with pytest.raises(InputError, match="session_id is of type int64, but string on the days before"):
        sessions.of_new(table(_key=[7]), database, [str(tmp_path / "1.parquet")], "visit")


def test_a_session_over_midnight_belongs_to_the_day_of_its_start(database, table, recipe):
    events = table(_key=["a", "a"], _time=[DAY - 1, DAY + 1])
    assert database.rows(sessions.numbered(events, recipe()).select("_day")) == [{"_day": 0}]


def test_sessions_by_pauses_are_called_by_user_and_start(database, table, recipe):
    events = table(_key=[7, 7, 7], _time=[2500, 3000, 50 * MINUTE])
    chosen = recipe(session_column=None, user_column="user")
    starts = sessions.numbered(sessions.with_start(events, 30), chosen)
    assert [row["session_id"] for row in database.rows(starts.order_by("_row"))] == ["7-2", "7-3000"]


def test_events_get_the_row_of_their_session(database, table, recipe):
    events = table(_key=[7, 8, 7], _time=[1000, 500, 50 * MINUTE], item_id=[1, 2, 3])
    chosen = recipe(session_column=None, user_column="user")
    events = sessions.with_start(events, 30)
    rows = database.rows(sessions.with_row(events, sessions.numbered(events, chosen)).order_by("item_id"))
    assert [(row["item_id"], row["_row"]) for row in rows] == [(1, 1), (2, 0), (3, 2)]
    assert sorted(rows[0]) == ["_row", "_time", "item_id"]


def test_time_orders_then_the_order_column_then_the_item(database, made):
    rows = [(2, 1, 0), (1, 9, 2), (1, 3, 1), (1, 2, 1), (0, 5, 9)]
    ordered, _ = made(rows, "_order", order_column="n")
    assert items(database, ordered) == [5, 2, 3, 9, 1]


def test_without_an_order_column_the_item_decides(database, made):
    ordered, _ = made([(1, 9), (1, 3), (0, 5)])
    assert items(database, ordered) == [5, 3, 9]


def test_equal_events_go_by_their_other_columns(database, made):
    ordered, _ = made([(1, 4, 8), (1, 4, 7), (2, 5, 1)], "brand")
    assert sorted(row["brand"] for row in database.rows(ordered)) == [1, 7]


@pytest.mark.parametrize(
    ("drop_repeats", "left"),
    [("consecutive", [1, 2, 1, 3, 1]), ("all", [1, 2, 3]), ("none", [1, 1, 2, 2, 2, 1, 3, 1])],
)
def test_repeats_are_dropped_as_asked(database, made, drop_repeats, left):
    rows = list(enumerate([1, 1, 2, 2, 2, 1, 3, 1]))
    ordered, _ = made(rows, drop_repeats=drop_repeats)
    assert items(database, ordered) == left


def test_the_pause_counts_from_the_event_that_was_kept_before(database, made):
    ordered, _ = made([(1000, 1), (4000, 1), (9000, 2), (9000, 3)])
    rows = database.rows(ordered.order_by(ordered["_from_end"].desc()))
    assert [row["_pause"] for row in rows] == [None, 8000, 0]


def test_a_session_of_one_item_is_dropped_and_counted(database, made):
    ordered, chosen = made([(1, 5), (2, 5)])
    assert database.rows(sessions.kept(ordered, chosen)) == []
    assert database.rows(sessions.counts(ordered, chosen)) == [
        {"day": 0, "ordered": 1, "in_a_short_session": 1, "before_the_last_n": 0, "events": 0}
    ]


def test_the_last_n_events_are_kept_and_keep_their_pause(database, made):
    ordered, chosen = made([(i * 1000, i) for i in range(5)], session_length_max=3)
    rows = database.rows(sessions.kept(ordered, chosen).order_by("_position"))
    assert [(row["_position"], row["item_id"], row["_pause"]) for row in rows] == [
        (0, 2, 1000),
        (1, 3, 1000),
        (2, 4, 1000),
    ]
    assert database.rows(sessions.counts(ordered, chosen))[0] == {
        "day": 0,
        "ordered": 5,
        "in_a_short_session": 0,
        "before_the_last_n": 2,
        "events": 3,
    }


def test_days_are_chosen_by_row(database, table):
    first = sessions.first_row
    rows = table(_row=[first(3) - 1, first(3), first(4) + 5, first(5)])
    assert [row["_row"] for row in database.rows(sessions.of_days(rows, 3, 4))] == [first(3), first(4) + 5]
