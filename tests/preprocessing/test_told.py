import logging

from transformers4recsys.preprocessing import told


def test_what_is_left_out_is_told_with_its_reasons_and_the_setting_that_keeps_it(recipe, caplog):
    caplog.set_level(logging.INFO)
    call = {
        "events_read": 10,
        "events_written": 4,
        "events_dropped": {"no_item": 1, "repeated_item": 5},
        "days": ["2024-01-05"],
        "checks": {},
    }
    told.tell(call, recipe())
    assert "4 of 10 events are in the sessions of 1 day" in caplog.text
    reasons = "5 repeating the item just before (`drop_repeats` none keeps them), 1 without an item"
    assert f"left out: {reasons}" in caplog.text


def test_every_reason_has_words(recipe):
    call = {"events_dropped": dict.fromkeys(told.REASONS, 1)}
    assert told.dropped(call, recipe(session_length_max=7)).count("1 ") == len(told.REASONS)
    assert "before the last 7 of their session" in told.dropped(call, recipe(session_length_max=7))
    split = recipe(session_length_max=7, split="leave_one_out", user_column="user")
    assert "(`session_length_max`, or `train_length_max` to learn from them)" in told.dropped(call, split)
