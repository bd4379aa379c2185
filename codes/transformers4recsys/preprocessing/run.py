"""From raw logs to day files: one call reads what is new, adds its days, and counts every row."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import raw_files as source
from transformers4recsys.preprocessing import raw_log, times, told
from transformers4recsys.preprocessing.engines.protocol import Unreadable
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.manifest import Manifest, open_manifest
from transformers4recsys.preprocessing.pipeline import Added, Pipeline
from transformers4recsys.preprocessing.raw_log import RawLog
from transformers4recsys.preprocessing.recipe import ITEM, Recipe, read_recipe
from transformers4recsys.preprocessing.report import contents as report
from transformers4recsys.preprocessing.staging import finish, only_call, scratch, staged
from transformers4recsys.preprocessing.steps import audit, events, plausibility, train_config
from transformers4recsys.preprocessing.steps.train_config import LogCounts
from transformers4recsys.preprocessing.tables import Kept
from transformers4recsys.settings import check, required, setting
from transformers4recsys.terminal import counted

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

    def __post_init__(self) -> None:
        check(self)


def preprocess(
    settings: LogSettings, recipe: Recipe | None = None, database: DatabaseChoice | None = None
) -> dict[str, Any]:
    """Write day files, features.yaml, train.yaml, vocabulary and preprocessing.json; give what this call counted.

    Without `recipe`, the one that the settings name is read. With a report, report.html and report.json say what the
    files of all days hold. Days that `output` has already are left as they are. Raise InputError on input that cannot
    be used.
    """
    required(settings, "input", "output")
    output = Path(settings.output or "").expanduser()
    recipe = recipe or read_recipe(settings.recipe)
    database = database or DatabaseChoice()
    place = database.folder_for(output)
    days = [
        times.day_number(day, recipe.time_unit, flag=flag) if day else None
        for day, flag in ((settings.start_date, "`start_date`"), (settings.end_date, "`end_date`"))
    ]
    kind, files = source.raw_files(
        settings.input or (), output=output, pattern=recipe.files, file_format=recipe.file_format
    )
    with only_call(output):
        call = _written(kind, files, output, recipe, database, days, place)
        if settings.report:
            report.write(output, recipe, database)
            log.info("the report is in %s", output / report.PAGE_FILE)
    return call


def _written(
    kind: str,
    files: list[str],
    output: Path,
    recipe: Recipe,
    chosen: DatabaseChoice,
    days: list[int | None],
    place: Path,
) -> dict[str, Any]:
    finish(output)
    manifest = open_manifest(output, recipe)
    if recipe.is_split and manifest.days:
        raise InputError(
            f"`output` {output} holds a split already, and no day can be added to it; give another `output`"
        )
    with staged(output) as folder, scratch(output, place) as spill:
        database = chosen.open(spill)
        try:
            pipeline = Pipeline(database, recipe, manifest, output, folder)
            raw = raw_log.opened(kind, files, recipe, spill / "raw")
            try:
                return _add(pipeline, raw, first_day=days[0], last_day=days[1])
            except Unreadable as error:
                raise raw.explained(error) from error
        finally:
            database.close()


def _add(pipeline: Pipeline, log_files: RawLog, *, first_day: int | None, last_day: int | None) -> dict[str, Any]:
    recipe, manifest, database = pipeline.recipe, pipeline.manifest, pipeline.database
    raw = log_files.table(database)
    events.check_columns(raw, recipe)
    bounds = {"first_day": first_day, "last_day": last_day, "written_before": manifest.written_before(recipe)}
    mark = partial(events.with_reason, recipe=recipe, **bounds)
    _warn_of_time_settings(raw, recipe)
    found = audit.audit(database, log_files, raw, recipe, mark)
    if not manifest.days:
        _settle_time_of_day(manifest, recipe, has_time_of_day=found.has_time_of_day)
    added, checks = Added(), {}
    if found.kept:
        table = events.standard_columns(raw, recipe, parse_time=database.parse_time)
        kept = database.keep(Kept.EVENTS, events.without_reason(mark(table)))
        checks = plausibility.check(database, kept, recipe, _events_of_days(manifest))
        added = pipeline.add_days(kept, found.kept)
    call = {
        "input": [file.name for file in log_files.files],
        "events_read": found.read,
        "events_dropped": {reason: count for reason, count in {**found.dropped, **added.dropped}.items() if count},
        "events_written": sum(day["events"] for day in added.days.values()),
        "events_without_price": found.without_price,
        "checks": checks,
        "days": sorted(added.days),
    }
    if not added.days:
        counts = counted(found.read, "event"), told.dropped(call, recipe), max(manifest.days)
        log.info("nothing new: of %s, %s; the last one is %s", *counts)
        return call
    sessions_of_day = {day: counts["sessions"] for day, counts in added.days.items()}
    plausibility.check_empty(sessions_of_day, recipe, told.dropped(call, recipe))
    manifest.days |= added.days
    manifest.calls.append(call)
    manifest.last_time = max(manifest.last_time, found.last_time)
    manifest.write(pipeline.folder)
    counts = LogCounts(manifest.days, manifest.cardinalities[ITEM] - 1)
    train_config.write(pipeline.folder, counts, recipe, pipeline.output)
    told.tell(call, recipe)
    return call


def _events_of_days(manifest: Manifest) -> dict[str, int]:
    return {day: counts["events"] for day, counts in manifest.days.items()}


def _warn_of_time_settings(raw: ir.Table, recipe: Recipe) -> None:
    if recipe.time_column:
        kind = raw[recipe.time_column].type()
        for flag in times.without_effect(kind, time_format=recipe.time_format, epoch_unit=recipe.epoch_unit):
            log.warning("%s has no effect: column %s is of type %s", flag, recipe.time_column, kind)


def _settle_time_of_day(manifest: Manifest, recipe: Recipe, *, has_time_of_day: bool) -> None:
    """Decide on the first call, for all later ones, whether times say more than the date."""
    manifest.has_time_of_day = has_time_of_day
    if recipe.time_column and not has_time_of_day:
        log.info(
            "%s has dates without a time of day: no hour and no time since the last event",
            recipe.time_column,
        )
        if not recipe.order_column:
            log.warning("without times of day and without `order_column`, a session's events are ordered by item")
