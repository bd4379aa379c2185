"""The tables that a database keeps while a call runs: their names, each with the step that keeps it."""

from __future__ import annotations

from enum import StrEnum


class Kept(StrEnum):
    """Names of tables; those of a column or a split have its name behind."""

    # pipeline
    EVENTS = "events"
    NEW_EVENTS = "events of new sessions"
    SESSIONS = "sessions"
    EVENTS_WITH_IDS = "events with ids"
    CATEGORY_PRICES = "category prices"
    ORDERED_EVENTS = "ordered events"
    EVENTS_OF_ROWS = "events of rows"
    ROWS = "rows"
    ROWS_WITH_LISTS = "rows with lists"
    ROWS_OF_SPLIT = "rows of"
    # steps
    CORE = "core"
    WRITTEN_AGAIN = "sessions written before"
    SEEN = "seen"
    VOCABULARY = "vocabulary"
    LAST_TIMES = "last times of items"
    ITEMS = "items"
    USER_SESSIONS = "sessions of users"
    NUMBERED_SESSIONS = "numbered sessions"
    EARLIER_HISTORY = "history of earlier calls"
    CLICKS = "clicks to draw from"
    CLICKED = "clicked"
    POSITIONS = "positions"
    NEGATIVES = "negatives"
    ROWS_WITH_NEGATIVES = "rows with negatives"
    PLACES = "places of items"
    OCCURRENCES = "occurrences"
    WINDOWS = "occurrences by window"
    # report
    TRAIN_EVENTS = "events of training files"
    SPLIT_SESSIONS = "sessions of"

    def of(self, name: object) -> str:
        """Name the table of one column, split or turn."""
        return f"{self.value} {name}"
