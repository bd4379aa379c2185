"""Turns raw logs into day files: which log, which recipe, which database."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers4recsys.day_format import TRAIN_FILE
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.raw_files import check_found
from transformers4recsys.preprocessing.recipe import Recipe, read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.settings import changed, check_names, names_of, part, pick, required, unused

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreprocessSettings:
    """A log, how it is read, and the database that reads it."""

    log: LogSettings = part(LogSettings)
    recipe: Recipe = part(Recipe)
    database: DatabaseChoice = part(DatabaseChoice)


SETTINGS = PreprocessSettings


def run(values: Mapping[str, Any]) -> None:
    """Turn raw logs into day files, with settings by name; those of a recipe file count where they are not given."""
    check_names(PreprocessSettings, values)
    log_settings, database = pick(LogSettings, values), pick(DatabaseChoice, values)
    required(log_settings, "input", "output")
    check_found(log_settings.input or ())
    of_recipe = {name: values[name] for name in names_of(Recipe) if name in values}
    recipe = read_recipe(log_settings.recipe, of_recipe)
    if recipe.neg_strategy == "uniform" and values.get("neg_decay") is not None:
        log.warning("`neg_decay` has no effect: `neg_strategy` uniform draws all items alike")
    for name in unused_settings_of_the_database(database, makes_report=log_settings.report):
        log.warning("`%s` has no effect: `engine` %s does not use it", name, database.engine)
    call = preprocess(log_settings, recipe, database)
    if call["days"]:
        config = Path(log_settings.output or "").expanduser() / TRAIN_FILE
        log.info("now train: transformers4recsys train %s", shlex.quote(str(config)))


def unused_settings_of_the_database(database: DatabaseChoice, *, makes_report: bool) -> list[str]:
    """Name the settings that were given and that the database does not use; the report is DuckDB's on every engine."""
    names = [*unused(database)]
    if database.engine == "spark" and not makes_report:
        names += [name for name in ("memory_limit", "threads") if name in changed(database)]
    return names
