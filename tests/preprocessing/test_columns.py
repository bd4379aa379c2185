"""A step says what it needs and gives; what is missing is an error before any data is read, and at each call."""

import pytest

from transformers4recsys.preprocessing.columns import KEY, PAUSE, START, TIME, Column, check, step


@step(needs=(TIME,), gives=(PAUSE,))
def with_pause(table, length=1):
    """Add a pause."""
    return table.mutate(**{PAUSE: TIME.of(table) * length})


@step(needs=(KEY, TIME), gives=(START,), is_new_table=True)
def starts(table):
    return table.group_by(KEY).agg(**{START: TIME.of(table).min()})


def test_a_step_is_its_function(database, table):
    assert database.rows(with_pause(table(_time=[3]), 2)) == [{"_time": 3, "_pause": 6}]


def test_a_missing_column_is_an_error_at_the_call(table):
    with pytest.raises(
        AssertionError, match=r"with_pause needs \['_time'\], which no step before it gives: \['_key'\]"
    ):
        with_pause(table(_key=[3]))


def test_a_step_that_does_not_give_what_it_says_is_an_error(table):
    forgetful = step(gives=(PAUSE,))(lambda each: each)
    with pytest.raises(AssertionError, match=r"has not given \['_pause'\]"):
        forgetful(table(_time=[3]))
    greedy = step()(lambda each: each.drop("_time"))
    with pytest.raises(AssertionError, match=r"has not given \['_time'\]"):
        greedy(table(_time=[3], _key=[1]))


def test_columns_are_followed_through_steps():
    assert check([with_pause, starts], [TIME, KEY, "brand"]) == {START}
    assert check([with_pause], [TIME, KEY]) == {TIME, KEY, PAUSE}
    with pytest.raises(AssertionError, match=r"with_pause needs \['_time'\]"):
        check([starts, with_pause], [TIME, KEY])


def test_a_column_is_its_name():
    assert Column("_time") == "_time" and f"{TIME}" == "_time" and {TIME: 1}["_time"] == 1
