"""Settings chosen from the counts of a log, rule by rule; the file is one that `train` takes as it is."""

import dataclasses
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from transformers4recsys.commands.train import SETTINGS
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.recipe import Recipe
from transformers4recsys.preprocessing.steps.train_config import LogCounts, choices, text_of, write
from transformers4recsys.settings import from_values, names_of

DAYS = Recipe(item_column="item", time_column="time", session_column="session")


def log_of(sessions, *, days=91, length=5, items=300, left_out=()):
    names = [str(date(2026, 1, 1) + timedelta(number)) for number in range(days) if number not in left_out]
    return LogCounts({name: {"sessions": sessions, "events": sessions * length} for name in names}, items)


def chosen(counts, recipe=DAYS):
    return {name: value for name, value, _ in choices(counts, recipe)}


@pytest.mark.parametrize(
    ("sessions", "days", "window", "epochs", "batch"),
    [
        # About 5,000 sessions a window, at most 30 days, each session seen about 30 times.
        (190, 91, 27, 1, 64),
        (148, 91, 30, 1, 64),
        # At least 60 steps of 64: 3,000 sessions twice.
        (100, 91, 30, 2, 64),
        # At most 600: 6,000 sessions 6 times, not 30 / 4.
        (1_500, 12, 4, 6, 64),
        (7_000, 12, 1, 5, 64),
        (20_000, 12, 1, 1, 128),
        (1_000_000, 12, 1, 1, 512),
        # Few days, few sessions: a session is seen more often, at most 10 times a day.
        (300, 4, 3, 10, 64),
        (1, 2, 1, 10, 64),
    ],
)
def test_a_window_makes_enough_steps(sessions, days, window, epochs, batch):
    found = chosen(log_of(sessions, days=days))
    names = ("training_time_window_size", "num_train_epochs", "per_device_train_batch_size")
    assert [found[name] for name in names] == [window, epochs, batch]
    assert found["constrained_embeddings"] is True
    assert found["learning_rate_schedule"] == "linear_with_warmup"
    # The popularity of one day alone is learned.
    assert found.get("popularity_shift", False) is (window > 1)


@pytest.mark.parametrize(
    ("sessions", "days", "items", "length", "window", "epochs", "batch", "width"),
    [
        # Core: 20,000 sessions a window, each once a day, in 300 steps where they suffice.
        (2_000, 91, 10_001, 2, 10, 1, 64, 128),
        (19_500, 20, 10_001, 2, 2, 1, 128, 128),
        (20_000, 20, 10_001, 2, 1, 1, 64, 128),
        (38_399, 2, 10_001, 2, 1, 1, 64, 128),
        (38_400, 2, 10_001, 2, 1, 1, 128, 128),
        (7_000, 3, 10_001, 2, 2, 1, 64, 128),
        # At least 60 steps of 64.
        (100, 91, 10_001, 2, 30, 2, 64, 128),
        # SASRec, of few items and of long sessions: 5,000 sessions, and 100 steps.
        (2_000, 91, 10_000, 2, 3, 6, 64, 64),
        (2_000, 20, 10_001, 12, 3, 1, 64, 64),
        (6_400, 2, 10_001, 12, 1, 1, 64, 64),
    ],
)
def test_core_has_a_longer_window_of_smaller_steps_and_wider_vectors(
    sessions, days, items, length, window, epochs, batch, width
):
    found = chosen(log_of(sessions, days=days, items=items, length=length))
    names = ("training_time_window_size", "num_train_epochs", "per_device_train_batch_size", "d_model")
    assert [found[name] for name in names] == [window, epochs, batch, width]


def test_larger_logs_have_larger_models():
    small, large = chosen(log_of(1_000)), chosen(log_of(50_000, length=12, items=60_000))
    assert [small[name] for name in ("d_model", "n_layer")] == [64, 1] and "loss_type" not in small
    assert [large[name] for name in ("d_model", "n_layer", "loss_type")] == [128, 2, "sampled_softmax"]


@pytest.mark.parametrize(
    ("items", "length", "split", "model"),
    [
        (10_001, 9, "days", "core"),
        (10_000, 9, "days", "sasrec"),
        (10_001, 10, "days", "sasrec"),
        (10_001, 9, "given", "core"),
        (10_001, 9, "leave_one_out", "sasrec"),
    ],
)
def test_short_sessions_over_many_items_have_a_mean_of_their_items_by_cosines(items, length, split, model, tmp_path):
    of_split = {"split_column": "split"} if split == "given" else {}
    recipe = DAYS if split == "days" else dataclasses.replace(DAYS, user_column="user", split=split, **of_split)
    values = yaml.safe_load(text_of(log_of(50_000, items=items, length=length), recipe, tmp_path))
    is_core = model == "core"
    assert values["model_type"] == model
    of_core = {"inp_merge": "none", "score": "cosine", "temperature": 0.07}
    assert {name: values[name] for name in of_core if name in values} == (of_core if is_core else {})
    # With a merge of one feature: the item alone, however many events there are.
    assert Path(values["feature_config"]).name == ("features_item_id.yaml" if is_core else "features.yaml")
    assert values.get("positions_from_end", False) is not is_core
    from_values(SETTINGS, values)


def test_a_file_that_reads_all_columns_stays_with_a_model_that_can(tmp_path):
    (tmp_path / "train.yaml").write_text("feature_config: features.yaml")
    write(tmp_path, log_of(1_000, items=10_001), DAYS, tmp_path)
    values = yaml.safe_load((tmp_path / "train.yaml").read_text())
    assert (values["model_type"], Path(values["feature_config"]).name) == ("sasrec", "features.yaml")


@pytest.mark.parametrize("is_there", [False, True])
def test_positions_of_a_model_stay_as_they_were(is_there, tmp_path):
    (tmp_path / "train.yaml").write_text("model_type: sasrec\n" + "positions_from_end: true\n" * is_there)
    write(tmp_path, log_of(1_000), DAYS, tmp_path)
    assert ("positions_from_end" in yaml.safe_load((tmp_path / "train.yaml").read_text())) is is_there


def test_the_learning_rate_of_a_large_model_is_half_that_of_a_small_one():
    assert [chosen(log_of(sessions))["learning_rate"] for sessions in (1_000, 50_000)] == [0.004, 0.002]


def test_large_logs_teach_what_all_columns_say(tmp_path):
    values = yaml.safe_load(text_of(log_of(50_000), DAYS, tmp_path))
    assert values["feature_config"] == str(tmp_path / "features.yaml")


def test_a_split_stops_early_on_its_valid_file():
    counts = {"2000-01-01": {"sessions": 900, "events": 9_000}, "2000-01-02": {"valid_sessions": 9, "test_sessions": 9}}
    recipe = Recipe(item_column="item", time_column="time", user_column="user", split="leave_one_out")
    counts["2000-01-02"] |= {"sessions": 0, "events": 0}
    found = chosen(LogCounts(counts, 500), recipe)
    assert found["eval_on_test_set"] is True and found["early_stopping_patience"] > 0 and found["validate_every"] > 0
    assert found["exclude_seen_in_evaluation"] is True and "training_time_window_size" not in found
    counts["2000-01-02"]["valid_sessions"] = 0
    assert "early_stopping_patience" not in chosen(LogCounts(counts, 500), recipe)


@pytest.mark.parametrize("left_out", [(), (3, 4)])
def test_the_file_is_one_that_train_takes(left_out, tmp_path):
    text = text_of(log_of(200, days=9, left_out=left_out), DAYS, tmp_path / "days: 1")
    values = yaml.safe_load(text)
    assert set(values) <= set(names_of(SETTINGS))
    settings = from_values(SETTINGS, values)
    assert values["feature_config"] == str(tmp_path / "days: 1" / "features_item_id.yaml")
    assert settings.data.days.data_path == str(tmp_path / "days: 1")
    assert (settings.data.days.start_date, settings.data.days.end_date) == ("2026-01-01", "2026-01-09")
    assert settings.data.days.missing_days == ("skip" if left_out else "error")
    assert "# 200 sessions a day: each day trains on the last 8" in text or left_out


def test_the_model_stays_as_it_was_when_the_log_grows(tmp_path):
    (tmp_path / "output").mkdir()
    write(tmp_path / "output", log_of(200, days=9), DAYS, tmp_path / "output")
    write(tmp_path, log_of(50_000, days=90, length=12), DAYS, tmp_path / "output")
    before, after = (yaml.safe_load((folder / "train.yaml").read_text()) for folder in (tmp_path / "output", tmp_path))
    for name in ("d_model", "n_layer", "model_type", "feature_config"):
        assert after[name] == before[name]
    assert (after["end_date"], after["per_device_train_batch_size"]) == ("2026-03-31", 256)
    write(tmp_path, log_of(200, days=9, items=20_000), DAYS, tmp_path / "output")
    after = yaml.safe_load((tmp_path / "train.yaml").read_text())
    assert after["model_type"] == "sasrec" and "score" not in after
    (tmp_path / "output" / "train.yaml").write_text("a: [")
    with pytest.raises(InputError, match="remove it, and it is written anew"):
        write(tmp_path, log_of(200), DAYS, tmp_path / "output")


def test_hours_and_lengths_are_those_of_the_recipe(tmp_path):
    hours = LogCounts({f"2026-01-01-{hour:02}": {"sessions": 50, "events": 200} for hour in range(24)}, 40)
    recipe = Recipe(
        item_column="item", time_column="time", session_column="session", time_unit="hour", session_length_max=7
    )
    text = text_of(hours, recipe, tmp_path)
    values = yaml.safe_load(text)
    assert "50 sessions an hour: each hour trains" in text and " a hour" not in text
    assert (values["start_date"], values["end_date"]) == ("2026-01-01-00", "2026-01-01-23")
    assert (values["time_unit"], values["session_seq_length_max"]) == ("hour", 7)
