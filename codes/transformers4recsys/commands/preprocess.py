"""Turns raw logs into day files: which log, which recipe, which database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import Recipe, read_recipe
from transformers4recsys.preprocessing.run import preprocess as preprocess_log
from transformers4recsys.settings import changed, check_names, names_of, part, pick, required, setting, unused

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogSettings:
    """Preprocess: raw logs in, day files, feature config and vocabulary out"""

    input: tuple[str, ...] | None = setting(None, "raw events: parquet, CSV or JSON lines files, patterns, or folders")
    output: str | None = setting(None, "folder of the day files; days that it has already are left as they are")
    recipe: str | None = setting(
        None,
        "name of a data set in datasets/, such as rees46, or a YAML file with any of the settings of the recipe below, "
        "and names; flags go before it",
    )
    start_date: str | None = setting(None, "first day of events to read, YYYY-MM-DD (-HH with `time_unit` hour)")
    end_date: str | None = setting(None, "last day of events to read, inclusive")
    report: bool = setting(False, "describe all days of the output, and check them for leaks: report.html, report.json")


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
    of_recipe = {name: values[name] for name in names_of(Recipe) if name in values}
    recipe = read_recipe(log_settings.recipe, of_recipe)
    if recipe.neg_strategy == "uniform" and values.get("neg_decay") is not None:
        log.warning("`neg_decay` has no effect: `neg_strategy` uniform draws all items alike")
    for name in unused_settings_of_the_database(database, makes_report=log_settings.report):
        log.warning("`%s` has no effect: `engine` %s does not use it", name, database.engine)
    preprocess_log(
        log_settings.input or (),
        log_settings.output or "",
        recipe,
        start_date=log_settings.start_date,
        end_date=log_settings.end_date,
        memory_limit=database.memory_limit,
        threads=database.threads,
        temp_directory=database.temp_directory,
        engine=database.engine,
        spark_master=database.spark_master,
        with_report=log_settings.report,
    )


def unused_settings_of_the_database(database: DatabaseChoice, *, makes_report: bool) -> list[str]:
    """Name the settings that were given and that the database does not use; the report is DuckDB's on every engine."""
    idle = [*unused(database)]
    if database.engine == "spark" and not makes_report:
        idle += [name for name in ("memory_limit", "threads") if name in changed(database)]
    return idle
