"""The steps from clean events to day files: ids and sessions of all new days at once, the rest in bundles of days."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ibis.expr import types as ir

from transformers4recsys.day_format import (
    CATEGORY_PRICES_FILE,
    ITEMS_FILE,
    TRAIN,
    file_name,
    vocabulary_file,
)
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import AT, POSITION, ROW, SESSION_ID, STAGE, START, TIME, USER
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.manifest import Manifest
from transformers4recsys.preprocessing.plan import check_plan, list_columns, output_names
from transformers4recsys.preprocessing.recipe import ITEM, PRICE, Recipe
from transformers4recsys.preprocessing.steps import (
    category_prices,
    day_files,
    feature_config,
    features,
    history,
    items,
    negatives,
    sessions,
    splits,
    vocabulary,
)
from transformers4recsys.preprocessing.steps import events as raw_events
from transformers4recsys.preprocessing.steps.vocabulary import Vocabulary
from transformers4recsys.preprocessing.tables import Kept
from transformers4recsys.terminal import counted, progress_bar

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identified:
    """All new events with ids and `_row`, the sessions that `_row` numbers, the last values of items, and counts."""

    events: ir.Table
    starts: ir.Table
    items: ir.Table
    vocabularies: Mapping[str, Vocabulary]
    events_of_day: Mapping[int, int]


@dataclass
class Added:
    """Counts of what a call adds, by the label of the day, and of events dropped, by reason."""

    days: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def count(self, events: Mapping[int, int], counts: list[dict], halves: list[dict], time_unit: str) -> None:
        """Add what `sessions.counts` and `day_files.halves` found of the days of `events`."""
        of_day, halves_of_day = ({row["day"]: row for row in rows} for rows in (counts, halves))
        for day in events:
            count = of_day[day]
            half = halves_of_day.get(day, {"sessions": 0, "valid_sessions": 0, "test_sessions": 0})
            sizes = {"events": count["events"]} | {name: half[name] for name in half if name != "day"}
            self.days[times.label(day, time_unit)] = sizes
            self.dropped["repeated_item"] += events[day] - count["ordered"]
            for reason in ("in_a_short_session", "before_the_last_n"):
                self.dropped[reason] += count[reason]

    def count_split(self, label: str, split: str, rows: int) -> None:
        """Record the rows of one file of a split; raise InputError if there is nothing to train on."""
        if split == TRAIN and not rows:
            raise InputError("no sequence has two events or more to train on; see --split, --valid_from and --k_core")
        counts = self.days.setdefault(label, {"events": 0})
        if split == TRAIN:
            self.days[label] = {"events": counts["events"], "sessions": rows, "valid_sessions": 0, "test_sessions": 0}
        else:
            self.days[label] = {"sessions": 0, "test_sessions": 0} | counts | {f"{split}_sessions": rows}


@dataclass(frozen=True)
class Pipeline:
    """One call: earlier days are in `output`, new files go to `folder`, the manifest records what is fitted."""

    database: Database
    recipe: Recipe
    manifest: Manifest
    output: Path
    folder: Path

    def __post_init__(self) -> None:
        check_plan(self.recipe)

    def add_days(self, events: ir.Table, num_events: int) -> Added:
        """Turn clean events, which are kept as Kept.EVENTS, into the files of their days."""
        with progress_bar("reading, ids, sessions", total=3) as advance:
            found = self._identified(events, advance)
        added = Added()
        reason = "outside_the_core" if self.recipe.k_core else "of_a_session_already_written"
        added.dropped[reason] = num_events - sum(found.events_of_day.values())
        if not found.events_of_day:
            return added
        if not self.manifest.days:
            self.manifest.choose_fitted_days(sorted(found.events_of_day), self.recipe)
        has_prices = "relative_price" in self._numbers and not self.recipe.is_split
        prices = self._category_prices(found.events) if has_prices else None
        if self.recipe.has_history and self._day_files:
            self._remember_history(found.events)
        if self.recipe.neg_samples:
            self._remember_clicks(min(found.events_of_day))
        write = self._write_split if self.recipe.is_split else self._write_days
        with progress_bar("writing days", total=len(found.events_of_day)) as advance:
            for days in bundles(found.events_of_day, self.database.events_at_a_time, at_first=self.recipe.fit_days):
                rows, events = self._rows(found, days, prices, added)
                write(rows, events, days, added)
                for _ in days:
                    advance()
        self._write_rest(found, prices)
        return added

    @cached_property
    def _numbers(self) -> dict[str, features.Number]:
        return features.numbers_of(self.recipe, has_time_of_day=self.manifest.has_time_of_day)

    @cached_property
    def _columns(self) -> list[str]:
        """The list columns of the day files, by standard name."""
        return list_columns(self.recipe, self._numbers)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Every column of the day files, and the name under which it is written."""
        return output_names(self.recipe, self._numbers)

    def _identified(self, events: ir.Table, advance: Callable[[], None]) -> Identified:
        """Give each event the numbers of its values and of its session."""
        database, recipe = self.database, self.recipe
        paths = {name: self.output / vocabulary_file(recipe.output_name(name)) for name in recipe.categorical}
        paths = {name: path for name, path in paths.items() if path.exists()}
        known = {name: (str(path), "raw") for name, path in paths.items()}
        if self._day_files:
            known[USER] = next(iter(self._day_files.values())), recipe.output_name("user_id")
        events = raw_events.typed(events, database, (USER, *recipe.categorical), known)
        if recipe.gap_minutes is not None:
            events = database.keep(Kept.EVENTS, sessions.with_start(events, recipe.gap_minutes))
        if recipe.k_core:
            events = splits.in_core(events, database, recipe.k_core)
        if recipe.split_column:
            events = splits.with_valid_part(events, database)
        if recipe.gap_minutes is None and self._day_files:
            events = sessions.of_new(events, database, [*self._day_files.values()], recipe.output_name(SESSION_ID))
            events = database.keep(Kept.NEW_EVENTS, events)
        advance()
        words = {}
        for name in recipe.categorical:
            words[name] = vocabulary.extended(database, name, events, paths.get(name))
        advance()
        starts = database.keep(Kept.SESSIONS, sessions.numbered(events, recipe))
        identified = sessions.with_row(vocabulary.with_ids(events, words), starts)
        identified = database.keep(Kept.EVENTS_WITH_IDS, identified)
        counts = database.rows(sessions.events_of_day(identified))
        advance()
        return Identified(
            identified,
            starts,
            items.last_known(database, events, recipe),
            words,
            {row["day"]: row["events"] for row in counts},
        )

    def _category_prices(self, events: ir.Table) -> ir.Table:
        path = self.output / CATEGORY_PRICES_FILE
        earlier = self.database.read("parquet", [str(path)]) if path.exists() else None
        sums = category_prices.sums(
            events, earlier, self.recipe.time_unit, self.manifest.fitted_until(self.recipe.time_unit)
        )
        return self.database.keep(Kept.CATEGORY_PRICES, sums)

    def _remember_history(self, events: ir.Table) -> None:
        users = events.select(USER).distinct()
        history.remember(self.database, [*self._day_files.values()], users, self._columns, self.recipe)

    def _remember_clicks(self, first_day: int) -> None:
        start = times.label(first_day - negatives.window(self.recipe), self.recipe.time_unit)
        files = [file for day, file in self._day_files.items() if day >= start]
        if files:
            negatives.remember(self.database, files, self.recipe)

    @cached_property
    def _day_files(self) -> dict[str, str]:
        """Files of all sessions of earlier calls, by day; those that were removed since are not known any more."""
        files = {day: self.output / file_name(day, TRAIN) for day in self.manifest.days}
        there = {day: str(path) for day, path in files.items() if path.exists()}
        if len(there) < len(files):
            missing = counted(len(files) - len(there), f"earlier {self.recipe.time_unit}")
            log.warning("%s: no files of %s, whose sessions and histories are not known", self.output, missing)
        return there

    def _rows(
        self, found: Identified, days: Sequence[int], prices: ir.Table | None, added: Added
    ) -> tuple[ir.Table, ir.Table]:
        """Make and count the rows of the sessions that start on these days, and the events that their lists hold."""
        database, recipe = self.database, self.recipe
        unit, fitted_until = recipe.time_unit, self.manifest.fitted_until(recipe.time_unit)
        ordered = sessions.in_order(sessions.of_days(found.events, days[0], days[-1]), recipe)
        ordered = database.keep(Kept.ORDERED_EVENTS, ordered)
        events = sessions.kept(ordered, recipe)
        if recipe.is_split:
            events = splits.with_stage(events, recipe, splits.cuts_of(database, events, recipe))
            if "relative_price" in self._numbers:
                prices = self._category_prices(splits.trained_on(events, PRICE))
        if prices is not None:
            events = category_prices.with_category_price(events, prices, unit, fitted_until)
        fitted_on = sessions.of_days(events, days[0], fitted_until)
        if recipe.is_split:
            fitted_on = events.filter(STAGE.of(events) == 0)
        if not self.manifest.fitted:
            self.manifest.fit(database, fitted_on, self._numbers)
        events = features.with_numbers(events, self._numbers, self.manifest.standardizers)
        scalars = {ROW, POSITION, TIME, USER, STAGE} & set(events.columns)
        # Those of earlier days are the histories of later ones.
        keep = database.append if recipe.has_history else database.keep
        known = keep(Kept.EVENTS_OF_ROWS, events.select(*sorted(scalars), *self._columns))
        events = sessions.of_days(known, days[0], days[-1])
        rows = database.keep(Kept.ROWS, day_files.as_rows(events, found.starts))
        counts = database.rows(sessions.counts(ordered, recipe))
        if recipe.is_split:
            cut = splits.num_cut(database, rows, recipe)
            counts = [count | {"before_the_last_n": cut, "events": count["events"] - cut} for count in counts]
        added.count(
            {day: found.events_of_day[day] for day in days}, counts, database.rows(day_files.halves(rows)), unit
        )
        if recipe.neg_samples:
            rows = negatives.with_negatives(rows, database, events, days, recipe)
        if recipe.has_history:
            events = history.with_history(known, database, rows, recipe)
        else:
            events = events.rename(**{AT: POSITION})
        user = {"user_id": rows[USER]} if recipe.user_column else {}
        return rows.mutate(session_start=times.timestamp(START.of(rows)), **user), events

    def _write_days(self, rows: ir.Table, events: ir.Table, days: Sequence[int], added: Added) -> None:
        """Write the files of these days."""
        files = day_files.files_of(self.folder, {day: times.label(day, self.recipe.time_unit) for day in days})
        history = self.recipe.past_length_max if self.recipe.has_history else 0
        self.database.write_days(rows, events, self._columns, files, self._names, history=history)

    def _write_split(self, rows: ir.Table, events: ir.Table, days: Sequence[int], added: Added) -> None:
        """Write the files of a split, under two days that follow one another; all rows come under the first."""
        rows = self.database.with_lists(Kept.ROWS_WITH_LISTS, rows, events, self._columns)
        for split, part in splits.parts(rows, self._columns, self.recipe).items():
            label = times.label(splits.DAYS[split], self.recipe.time_unit)
            part = self.database.keep(Kept.ROWS_OF_SPLIT.of(split), part)
            path = self.folder / file_name(label, split)
            self.database.write({path: day_files.laid_out(self.database, part, self._names)})
            number = self.database.rows(part.agg(rows=part.count()))[0]["rows"]
            added.count_split(label, split, number)
            if not number:
                log.warning("no row in the %s file: the split leaves no target for it", split)

    def _write_rest(self, found: Identified, prices: ir.Table | None) -> None:
        """Write the vocabularies, the category prices and the feature config, of all days."""
        database, recipe, last_day = self.database, self.recipe, max(found.events_of_day)
        for name, words in found.vocabularies.items():
            path = self.folder / vocabulary_file(recipe.output_name(name))
            path.parent.mkdir(exist_ok=True)
            database.write({path: vocabulary.to_file(words.table)})
        path = self.output / ITEMS_FILE
        table = items.table_of(database, found.vocabularies[ITEM].table, found.items, path if path.exists() else None)
        database.write({self.folder / ITEMS_FILE: table})
        if recipe.is_split:
            # All files come under one day, and prices under their own.
            prices, last_day = database.find(Kept.CATEGORY_PRICES), None
        if prices is not None:
            database.write({self.folder / CATEGORY_PRICES_FILE: category_prices.until(prices, last_day)})
        self.manifest.grow({name: words.largest_id for name, words in found.vocabularies.items()}, recipe.spare_ids)
        ids = {"session_id": "long" if found.starts[SESSION_ID].type().is_integer() else "text"}
        # Where sessions have ids of their own, those of users may be missing, which `train` does not read.
        if recipe.user_column and not recipe.session_column and found.events[USER].type().is_integer():
            ids["user_id"] = "long"
        schema = feature_config.schema_of(recipe, self.manifest.cardinalities, list(self._numbers), ids)
        feature_config.write(schema, self.folder)


def bundles(events_of_day: Mapping[int, int], limit: int, *, at_first: int) -> list[list[int]]:
    """Put days together while their events are at most `limit`; the first bundle has `at_first` days or more."""
    together: list[list[int]] = []
    total = 0
    for index, day in enumerate(sorted(events_of_day)):
        if index == 0 or (index >= at_first and total + events_of_day[day] > limit):
            together.append([])
            total = 0
        together[-1].append(day)
        total += events_of_day[day]
    return together
