import datetime as dt

import ibis
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.steps import vocabulary

HOUR = 3_600_000


def words(database, made):
    return {row["raw"]: (row["id"], row["first_seen"], row["count"]) for row in database.rows(made.table)}


def test_ids_count_from_1_by_first_appearance_ties_by_raw_value_missing_last(database, table):
    events = table(item_id=["c", "b", "a", "d", None, "b"], _time=[5, 3, 3, 1, 3, 9])
    made = vocabulary.extended(database, "item_id", events, None)
    assert words(database, made) == {"d": (1, 1, 1), "a": (2, 3, 1), "b": (3, 3, 2), None: (4, 3, 1), "c": (5, 5, 1)}
    assert made.largest_id == 5


def test_a_later_call_keeps_ids_and_adds_behind_them(database, table, tmp_path):
    first = vocabulary.extended(database, "kind", table(kind=["b", "a", None], _time=[2, 1, 3]), None)
    path = tmp_path / "kind.parquet"
    database.write({path: vocabulary.to_file(first.table)})
    later = table(kind=["z", "a", "y", None, "a"], _time=[9, 8, 8, 10, 7])
    made = vocabulary.extended(database, "kind", later, path)
    assert words(database, made) == {"a": (1, 1, 3), "b": (2, 2, 1), None: (3, 3, 2), "y": (4, 8, 1), "z": (5, 9, 1)}


def test_ids_do_not_depend_on_how_days_come(database, table, tmp_path):
    raws = [7, 3, 9, 3, 8, 1, 7, 2]
    at_once = vocabulary.extended(database, "item_id", table(item_id=raws, _time=list(range(8))), None)
    path, by_call = tmp_path / "item_id.parquet", None
    for start in (0, 3, 6):
        part = table(item_id=raws[start : start + 3], _time=list(range(start, min(start + 3, 8))))
        by_call = vocabulary.extended(database, "item_id", part, path if by_call else None)
        database.write({path: vocabulary.to_file(by_call.table)})
    assert words(database, by_call) == words(database, at_once)


def test_the_file_says_when_a_value_was_first_seen(database, table):
    made = vocabulary.extended(database, "kind", table(kind=["b", "a"], _time=[25 * HOUR, 30 * HOUR]), None)
    assert database.rows(vocabulary.to_file(made.table))[1] == {
        "raw": "a",
        "id": 2,
        "first_seen": dt.datetime(1970, 1, 2, 6),
        "first_day": dt.date(1970, 1, 2),
        "count": 1,
    }


def test_another_type_than_on_the_days_before_is_an_error(database, table, tmp_path):
    first = vocabulary.extended(database, "kind", table(kind=[1], _time=[1]), None)
    database.write({tmp_path / "kind.parquet": vocabulary.to_file(first.table)})
    with pytest.raises(InputError, match="kind is of type string, but int64 on the days before"):
        vocabulary.extended(database, "kind", table(kind=["1"], _time=[2]), tmp_path / "kind.parquet")


def test_days_without_a_single_value_leave_the_type_to_later_ones(database, table, tmp_path):
    path = tmp_path / "kind.parquet"
    empty = table(_time=[1, 2]).mutate(kind=ibis.null("string"))
    first = vocabulary.extended(database, "kind", empty, None)
    database.write({path: vocabulary.to_file(first.table)})
    made = vocabulary.extended(database, "kind", table(kind=[7, None], _time=[3, 4]), path)
    assert words(database, made) == {None: (1, 1, 3), 7: (2, 3, 1)}


def test_events_get_ids_in_the_place_of_raw_values(database, table):
    events = table(item_id=["b", "a", "b"], kind=[None, "k", None], _time=[1, 2, 3])
    made = {name: vocabulary.extended(database, name, events, None) for name in ("item_id", "kind")}
    rows = database.rows(vocabulary.with_ids(events, made).order_by("_time"))
    assert [(row["item_id"], row["kind"], row["_first_seen"]) for row in rows] == [(1, 1, 1), (2, 2, 2), (1, 1, 1)]


def test_values_of_no_vocabulary_may_be_0(database, table):
    events = table(item_id=["a", "x", "b", None])
    words = table(raw=["a", "b"], id=[1, 2], first_seen=[10, 20])
    found = vocabulary.with_ids(events, {"item_id": vocabulary.Vocabulary(words, 2)}, has_unknown=True)
    rows = sorted((row["item_id"], row["_first_seen"]) for row in database.rows(found) if row["item_id"])
    assert rows == [(1, 10), (2, 20)]
    assert [row["item_id"] for row in database.rows(found)].count(0) == 2
