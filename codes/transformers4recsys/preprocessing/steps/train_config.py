"""`train.yaml`: settings that suit the log, chosen from its counts by the rules below, each with its reason.

docs/own_log.md lists the rules, and what they were measured to give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from types import MappingProxyType
from typing import Any

import yaml

from transformers4recsys.day_format import FEATURES_FILE, ITEM_FEATURES_FILE, TRAIN_FILE
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.recipe import Recipe

# Sessions of a window: days are joined until they hold so many. Each of the many items of core is in few of them.
SESSIONS_OF_A_WINDOW, SESSIONS_FOR_CORE, LONGEST_WINDOW = 5_000, 20_000, 30
# A session is trained on so often, over the days and epochs that have it; a day makes so few and so many steps.
VISITS_OF_A_SESSION, FEWEST_STEPS, MOST_STEPS = 30, 60, 600
MOST_EPOCHS, MOST_EPOCHS_OF_A_SPLIT = 10, 100
# The largest batch that leaves so many steps an epoch; core has one epoch a day, and needs more in it.
BATCH_SIZES, STEPS_OF_AN_EPOCH, STEPS_FOR_CORE = (64, 128, 256, 512), 100, 300
# Scoring more items takes most of a step, so that more epochs would take hours; and another model learns them faster.
ITEMS_FOR_EPOCHS = 10_000
# From these sizes on another model pays.
MANY_EVENTS, MANY_ITEMS, LONG_SESSIONS = 1_000_000, 50_000, 10

# A setting, its value, and why it has this value.
Choice = tuple[str, Any, str]


@dataclass(frozen=True)
class LogCounts:
    """What the rules look at; `days` holds counts by the name of a day, as preprocessing.json does."""

    days: Mapping[str, Mapping[str, int]]
    num_items: int

    @property
    def sessions_of_a_day(self) -> int:
        return median_high([day["sessions"] for day in self.days.values()])

    @property
    def num_events(self) -> int:
        return sum(day["events"] for day in self.days.values())

    @property
    def mean_length(self) -> float:
        return self.num_events / max(sum(day["sessions"] for day in self.days.values()), 1)

    def has(self, split: str) -> bool:
        return any(day.get(f"{split}_sessions") for day in self.days.values())


def choices(counts: LogCounts, recipe: Recipe, earlier: Mapping[str, Any] = MappingProxyType({})) -> list[Choice]:
    """Choose the settings of a model and of its training; the model stays that of an `earlier` file."""
    # A run goes on with the model that it has, however large the log has become.
    is_core = _suits_core(counts, recipe, earlier)
    # Files of earlier versions do not have it.
    from_end = bool(earlier.get("positions_from_end", not earlier))
    chosen = _of_model(counts, is_core=is_core, from_end=from_end)
    of_model = [(name, earlier.get(name, value), why) for name, value, why in chosen]
    of_training = _of_split(counts, recipe) if recipe.is_split else _of_days(counts, recipe, is_core=is_core)
    return [*of_model, *of_training]


def _suits_core(counts: LogCounts, recipe: Recipe, earlier: Mapping[str, Any]) -> bool:
    has_short_sessions = recipe.split != "leave_one_out" and counts.mean_length < LONG_SESSIONS
    reads_the_item_alone = Path(str(earlier.get("feature_config", ITEM_FEATURES_FILE))).name == ITEM_FEATURES_FILE
    is_suited = has_short_sessions and reads_the_item_alone and counts.num_items > ITEMS_FOR_EPOCHS
    chosen = "core" if is_suited else "sasrec"
    return earlier.get("model_type", chosen) == "core"


def _of_model(counts: LogCounts, *, is_core: bool, from_end: bool) -> Iterator[Choice]:
    num_items, is_large = counts.num_items, counts.num_events >= MANY_EVENTS
    if is_core:
        yield "model_type", "core", f"{num_items:,} items: a session is a mean of its items' own vectors"
        yield "inp_merge", "none", "and reads them as they are"
        yield "score", "cosine", "popular items gain nothing by long vectors"
        yield "temperature", 0.07, ""
    else:
        yield "model_type", "sasrec", "reads a session from left to right"
        if from_end:
            yield "positions_from_end", True, "sessions of all lengths end at the same position"
    yield "d_model", 128 if is_large or is_core else 64, "core" if is_core else f"{counts.num_events:,} events"
    layers = 2 if counts.mean_length >= LONG_SESSIONS else 1
    yield "n_layer", layers, f"{counts.mean_length:.1f} events a session"
    yield "n_head", 2, ""
    yield "dropout", 0.2, ""
    yield "constrained_embeddings", True, "one table of items for input and output learns from both"
    yield "tf_out_activation", "none", "hidden states score items as they are"
    if num_items > MANY_ITEMS:
        yield "loss_type", "sampled_softmax", f"{num_items:,} items are too many to score at each step"
        yield "num_sampled_negatives", 1_000, ""


def _of_days(counts: LogCounts, recipe: Recipe, *, is_core: bool) -> Iterator[Choice]:
    typical, unit = counts.sessions_of_a_day, recipe.time_unit
    a_unit = f"an {unit}" if unit == "hour" else f"a {unit}"
    longest = max(min(LONGEST_WINDOW, len(counts.days) - 1), 1)
    wanted, steps_wanted = (SESSIONS_FOR_CORE, STEPS_FOR_CORE) if is_core else (SESSIONS_OF_A_WINDOW, STEPS_OF_AN_EPOCH)
    window = min(-(-wanted // max(typical, 1)), longest)
    rows = max(window * typical, 1)
    epochs = _epochs_of_a_day(rows, window, counts.num_items)
    sizes = [size for size in BATCH_SIZES if rows // size >= steps_wanted]
    batch = sizes[-1] if sizes else BATCH_SIZES[0]
    steps = -(-rows // batch) * epochs
    yield "training_time_window_size", window, f"{typical:,} sessions {a_unit}: each {unit} trains on the last {window}"
    yield "num_train_epochs", epochs, a_unit
    yield "per_device_train_batch_size", batch, f"makes about {steps:,} steps {a_unit}"
    yield "learning_rate", 0.002 if counts.num_events >= MANY_EVENTS else 0.004, ""
    yield (
        "learning_rate_schedule",
        "linear_with_warmup",
        f"falls to 0 within {a_unit}: the last weights are steady ones",
    )
    if window > 1:
        yield "popularity_shift", True, f"the next {unit} may resemble the last one more than the window"


def _epochs_of_a_day(rows: int, window: int, num_items: int) -> int:
    """Choose how often a day trains on the `rows` sessions of its window of days."""
    visits = 1 if num_items > ITEMS_FOR_EPOCHS else round(VISITS_OF_A_SESSION / window)
    at_least, at_most = -(-FEWEST_STEPS * BATCH_SIZES[0] // rows), MOST_STEPS * BATCH_SIZES[0] // rows
    return min(max(min(visits, at_most), at_least, 1), MOST_EPOCHS)


def _of_split(counts: LogCounts, recipe: Recipe) -> Iterator[Choice]:
    yield "per_device_train_batch_size", 128, ""
    yield "learning_rate", 0.001, ""
    yield "ema_decay", 0.998, "the average of many steps is steadier than the last one"
    if counts.has("test") and counts.has("valid"):
        yield "num_train_epochs", MOST_EPOCHS_OF_A_SPLIT, "at most: the best weights on the valid file are kept"
        yield "validate_every", 2, "epochs"
        yield "early_stopping_patience", 5, "validations without a better best_metric end the training"
        yield "eval_on_test_set", True, "the valid file chooses, the test file is reported"
    else:
        yield "num_train_epochs", MOST_EPOCHS, "without a valid and a test file nothing can say when to stop"
        yield "eval_on_test_set", counts.has("test"), ""
    if recipe.split == "leave_one_out":
        yield "exclude_seen_in_evaluation", True, "as published numbers of leave-one-out data do"


def text_of(counts: LogCounts, recipe: Recipe, output: Path, earlier: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Write the whole file: where the days are, the settings chosen, and what is written."""
    first, last = min(counts.days), max(counts.days)
    spans = times.day_number(last, recipe.time_unit, flag="") - times.day_number(first, recipe.time_unit, flag="") + 1
    of_data: list[Choice] = [
        ("data_path", str(output.resolve()), ""),
        _columns(counts, output.resolve(), earlier, is_core=_suits_core(counts, recipe, earlier)),
        ("start_date", first, ""),
        ("end_date", last, ""),
    ]
    if recipe.time_unit != "day":
        of_data.append(("time_unit", recipe.time_unit, ""))
    if spans > len(counts.days):
        of_data.append(("missing_days", "skip", f"of {spans} {recipe.time_unit}s, {len(counts.days)} have sessions"))
    longest = recipe.train_length_max or recipe.session_length_max
    of_file = (
        "as in the train file; others keep so many last ones" if recipe.train_length_max else "as in the day files"
    )
    of_data.append(("session_seq_length_max", longest, of_file))
    of_run: list[Choice] = [
        ("output_dir", "results", ""),
        ("do_train", True, ""),
        ("do_eval", True, ""),
        ("per_device_eval_batch_size", 512, ""),
        ("shuffle_buffer_size", 1_000_000, ""),
        ("eval_on_last_item_seq_only", True, "metrics of the last item of each session, all earlier ones given"),
        ("save_steps", 0, "the model is saved after each day"),
    ]
    parts = [of_data, choices(counts, recipe, earlier), of_run]
    head = "# Written by `transformers4recsys preprocess`, from the counts of the log; copy it before you change it.\n"
    return head + "\n".join("".join(map(_line, part)) for part in parts)


def _columns(counts: LogCounts, output: Path, earlier: Mapping[str, Any], *, is_core: bool) -> Choice:
    """Choose the columns that the model reads, which stay as they were too."""
    name = FEATURES_FILE if counts.num_events >= MANY_EVENTS and not is_core else ITEM_FEATURES_FILE
    name = Path(str(earlier.get("feature_config", name))).name
    of_small = f"a small log teaches more by the item alone; all columns: {FEATURES_FILE}"
    reasons = {
        ITEM_FEATURES_FILE: "core reads the item alone" if is_core else of_small,
        FEATURES_FILE: f"all columns; the item alone: {ITEM_FEATURES_FILE}",
    }
    return "feature_config", str(output / name), reasons.get(name, "")


def write(folder: Path, counts: LogCounts, recipe: Recipe, output: Path) -> None:
    """Write the file to `folder`; the day files will be in `output`, where an earlier one may be."""
    (folder / TRAIN_FILE).write_text(text_of(counts, recipe, output, _earlier(output)), encoding="utf-8")


def _earlier(output: Path) -> dict[str, Any]:
    path = output / TRAIN_FILE
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}; remove it, and it is written anew") from error
    return values if isinstance(values, dict) else {}


def _line(choice: Choice) -> str:
    name, value, why = choice
    line = yaml.safe_dump({name: value}, allow_unicode=True, width=10_000).rstrip("\n")
    return f"{line}  # {why}\n" if why else f"{line}\n"
