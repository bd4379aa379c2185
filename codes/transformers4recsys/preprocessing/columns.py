"""The columns that one step hands on to another, and how a step declares which it needs and which it gives.

An output column of a recipe has no name that begins with an underscore before it is written, so none can be taken for
one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias

from ibis.expr import types as ir

# Ibis knows the type of an expression only when it is made, so type checkers take its methods as they are.
Expression: TypeAlias = Any
Settings = ParamSpec("Settings")


class Column(str):
    """The name of a column, which finds it in a table."""

    __slots__ = ()

    def of(self, table: ir.Table) -> Expression:
        return table[self]


def column(table: ir.Table, name: str) -> Expression:
    """Find a column that no other step knows, or one of the recipe's, in a table."""
    return table[name]


# Of events.
TIME = Column("_time")  # milliseconds since 1970
KEY = Column("_key")  # of the session, or of the user whose events become sessions
USER = Column("_user")
ORDER = Column("_order")  # of events of the same time
PART = Column("_part")  # the split, where it is given
FIRST_SEEN = Column("_first_seen")  # time of the first event of the item
FROM_END = Column("_from_end")  # events of the session after this one
PAUSE = Column("_pause")  # milliseconds since the event before, null for the first
POSITION = Column("_position")  # in what is left of the session, from 0
STAGE = Column("_stage")  # 0: trained on, 1: a target of validation, 2: one of the test
CATEGORY_PRICE = Column("_category_price")  # mean price of the category as known on the day
AT = Column("_at")  # orders the events of a row

# Of sessions, and of the rows that they become.
ROW = Column("_row")  # numbers the sessions by day, start and key
SESSION_ID = Column("session_id")
START = Column("_start")  # time of the first event
DAY = Column("_day")  # on which the session starts
LENGTH = Column("_length")  # number of its events
HALF = Column("_half")  # valid or test: the evaluation file that has the session as well
VALID_FROM = Column("_valid_from")  # events before the first to validate on
TEST_FROM = Column("_test_from")  # events before the first to test on
TARGET = Column("_target")  # position of the target, in a file of a split
NEGATIVES = Column("_negatives")


@dataclass(frozen=True)
class Step(Generic[Settings]):
    """A function of a table that says which columns it needs there, which it gives, and which it takes away.

    One with `is_new_table` gives rows of another kind, and no column of the table but those it gives.
    """

    function: Callable[Concatenate[ir.Table, Settings], ir.Table]
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    drops: tuple[str, ...] = ()
    is_new_table: bool = False

    @property
    def name(self) -> str:
        return f"{self.function.__module__.rpartition('.')[-1]}.{self.function.__name__}"

    def __call__(self, table: ir.Table, *given: Settings.args, **settings: Settings.kwargs) -> ir.Table:
        left = self.after(table.columns)
        result = self.function(table, *given, **settings)
        missing = left - set(result.columns)
        assert not missing, f"{self.name} has not given {sorted(missing)}"
        return result

    def after(self, columns: Iterable[str]) -> set[str]:
        """Say which columns there are after this step; AssertionError if one is missing."""
        columns = set(columns)
        missing = set(self.needs) - columns
        assert not missing, f"{self.name} needs {sorted(missing)}, which no step before it gives: {sorted(columns)}"
        kept = set() if self.is_new_table else columns - set(self.drops)
        return kept | set(self.gives)


def step(
    *, needs: Sequence[str] = (), gives: Sequence[str] = (), drops: Sequence[str] = (), is_new_table: bool = False
) -> Callable[[Callable[Concatenate[ir.Table, Settings], ir.Table]], Step[Settings]]:
    """Declare the columns of a step, whose first argument is the table; they are checked at each call."""
    return lambda function: Step(function, tuple(needs), tuple(gives), tuple(drops), is_new_table)


def check(steps: Iterable[Step], columns: Iterable[str]) -> set[str]:
    """Follow the columns through all steps, before any data is read; give those at the end."""
    known = set(columns)
    for each in steps:
        known = each.after(known)
    return known
