"""What a call says of the events it has read: how many it kept, why it left out the others, and what it checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.terminal import counted

log = logging.getLogger(__name__)

REASONS = {
    "broken_line": "on broken lines (`bad_lines` skip)",
    "other_event_type": "of other event types (`event_types`)",
    "no_item": "without an item",
    "no_time": "without a time",
    "no_session_or_user": "without a session or user",
    "outside_start_and_end_date": "outside `start_date` and `end_date`",
    "already_written": "of days up to the last one written",
    "of_a_session_already_written": "of sessions written already",
    "outside_the_core": "of rare items and users (`k_core`)",
    "repeated_item": "repeating {repeats} (`drop_repeats` none keeps them)",
    "in_a_short_session": "in sessions of a single event",
    "before_the_last_n": "before the last {longest} of their session (`session_length_max`{or_rows})",
}
REPEATS = {"consecutive": "the item just before", "all": "an item of their session", "none": ""}


def tell(call: Mapping[str, Any], recipe: Recipe) -> None:
    """Say on the console what a call has done."""
    read, written = call["events_read"], call["events_written"]
    of_files = counted(len(call["days"]), recipe.time_unit)
    log.info("%d of %s are in the sessions of %s", written, counted(read, "event"), of_files)
    if call["events_dropped"]:
        log.info("left out: %s", dropped(call, recipe))
    checks = call["checks"]
    if "sessions" in checks:
        log.info(
            "checked: %s, %d with several users, %d longer than a day",
            counted(checks["sessions"], "session id"),
            checks["sessions_with_several_users"],
            checks["sessions_longer_than_a_day"],
        )
    if "first_time" in checks:
        log.info(
            "checked: times from %s to %s, %s later than now, %s far from all others",
            checks["first_time"],
            checks["last_time"],
            counted(checks["events_later_than_now"], "event"),
            counted(checks["days_far_from_others"], "day"),
        )


def dropped(call: Mapping[str, Any], recipe: Recipe) -> str:
    """List the reasons why events were left out, most events first."""
    words = {"repeats": REPEATS[recipe.drop_repeats], "longest": recipe.session_length_max}
    words["or_rows"] = ", or `train_length_max` to learn from them" if recipe.is_split else ""
    by_count = sorted(call["events_dropped"].items(), key=lambda reason: -reason[1])
    return ", ".join(f"{count} {REASONS[reason].format(**words)}" for reason, count in by_count) or "none was left out"
