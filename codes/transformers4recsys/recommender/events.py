"""Raw events become what the model reads, by the steps of `preprocess` and with all that was fitted for the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis.expr import types as ir

from transformers4recsys.data.parquet.ragged import read_ragged
from transformers4recsys.day_format import HISTORY_PREFIX
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.manifest import Manifest
from transformers4recsys.preprocessing.recipe import CATEGORY, ITEM, PRICE, Recipe
from transformers4recsys.preprocessing.steps import category_prices, day_files, features, history, sessions, vocabulary
from transformers4recsys.preprocessing.steps import events as raw_events
from transformers4recsys.preprocessing.steps.vocabulary import Vocabulary
from transformers4recsys.recommender.inference import Sessions, inputs_of
from transformers4recsys.recommender.item_table import with_item_columns
from transformers4recsys.recommender.opened_run import RunFolder
from transformers4recsys.recommender.requests import Request

SESSIONS_AT_A_TIME = 4_096
OpenRaw = Callable[[Database, Recipe], ir.Table]


@dataclass(frozen=True)
class EventSessions:
    """The sessions of some events: `rows` have the lists of those with a known item, `unknown` the ids of the others.

    `counts` say how many events were read, how many were left out, by reason, and how many values were unknown.
    """

    database: DuckDB
    rows: ir.Table
    unknown: ir.Table
    num_sessions: int
    counts: Mapping[str, int]


class EventReader:
    """Reads raw events as the run's own days were made: with its recipe, vocabularies, scales and category prices.

    Every event before a session counts as its user's history, as far as the events hold it.
    """

    def __init__(self, run: RunFolder, *, memory_limit: str = "3GB", threads: int = 0):
        if run.preprocessing is None:
            raise InputError(
                "this run was not trained on days that `preprocess` made, so it has no recipe to read raw events with; "
                "give `sessions` as lists of item ids"
            )
        self._run, self.schema = run, inputs_of(run.schema)
        self._manifest = Manifest(**dict(run.preprocessing))
        self._recipe = _without_split(Recipe(**self._manifest.settings))
        self._memory_limit, self._threads = memory_limit, threads
        standard = {self._recipe.output_name(name): name for name in self._recipe.standard_names}
        self._columns = [standard[feature.name] for feature in self.schema.features]

    def opened_table(self, events: pa.Table) -> AbstractContextManager[EventSessions]:
        """Read the events of a table."""
        return self.opened(lambda database, recipe: database.keep("raw", ibis.memtable(events)))

    def opened_files(self, kind: str, files: Sequence[str]) -> AbstractContextManager[EventSessions]:
        """Read the events of files of one kind: parquet, csv, or json (lines)."""

        def read(database: Database, recipe: Recipe) -> ir.Table:
            of_json = sorted({column for _, column in recipe.raw_columns})
            names = of_json if kind == "json" else recipe.column_names
            return database.read(kind, files, separator=recipe.separator, column_names=names)

        return self.opened(read)

    @contextmanager
    def opened(self, open_raw: OpenRaw) -> Iterator[EventSessions]:
        """Read the events that `open_raw` finds; what is given back can be used until the end of the block."""
        with TemporaryDirectory(prefix="transformers4recsys-") as folder:
            database = DuckDB(Path(folder), memory_limit=self._memory_limit, threads=self._threads)
            try:
                yield self._sessions(database, open_raw(database, self._recipe))
            finally:
                database.close()

    def requests(self, found: EventSessions) -> Iterator[Request]:
        """Give the sessions, some at a time: those with a known item by their start, then the others."""
        label = self.schema.item_id.name
        for batch in found.database.batches(found.rows, SESSIONS_AT_A_TIME):
            if not len(batch):
                continue
            table = pa.Table.from_batches([batch])
            past = read_ragged(table, tuple(self.schema.past.values())) if self.schema.past else None
            current = Sessions(read_ragged(table, self.schema.features), past)
            yield Request(table.column("session_id").combine_chunks(), np.arange(len(table)), current, label)
        for batch in found.database.batches(found.unknown, SESSIONS_AT_A_TIME):
            if len(batch):
                yield Request.without_items(batch.column("session_id"), label)

    def of_lists(self, lists: Sequence[Sequence[Any]]) -> pa.Table:
        """Lay sessions of raw item ids out as raw events, with what the item table knows of the items."""
        lengths = [len(session) for session in lists]
        return pa.table(
            {
                _session_column(self._recipe): pa.array(np.repeat(np.arange(len(lists)), lengths)),
                self._recipe.item_column or "": pa.array([item for session in lists for item in session]),
            }
        )

    def _sessions(self, database: DuckDB, raw: ir.Table) -> EventSessions:
        recipe = self._recipe
        has_times = recipe.time_column in raw.columns
        raw = with_item_columns(raw, recipe, self._run.item_table)
        table = raw_events.standard_columns(raw, recipe)
        if not has_times and not recipe.order_column:
            table = table.mutate(_order=ibis.row_number())
        table = self._with_types_of_vocabulary(table)
        table = raw_events.with_reason(table, recipe, written_before=None, first_day=None, last_day=None)
        table = database.keep("raw events", table)
        counts = {f"dropped_{row['_reason']}": row["count"] for row in database.rows(_by_reason(table))}
        counts["events"] = sum(counts.values())
        del counts["dropped_None"]
        events = raw_events.without_reason(table)
        if recipe.gap_minutes is not None:
            events = sessions.with_start(events, recipe.gap_minutes)
        starts = database.keep("sessions", sessions.numbered(events, recipe))
        identified = vocabulary.with_ids(events, self._vocabularies(database), has_unknown=True)
        identified = database.keep("events with ids", sessions.with_row(identified, starts))
        counts |= self._unknown(database, identified)
        rows = self._rows(database, identified.filter(identified[ITEM] > 0), starts, has_times=has_times)
        unknown = starts.anti_join(rows, "_row").order_by("_row").select("session_id")
        num_sessions = database.rows(starts.agg(count=starts.count()))[0]["count"]
        return EventSessions(database, rows, unknown, num_sessions, counts)

    def _with_types_of_vocabulary(self, table: ir.Table) -> ir.Table:
        """Read ids as text where the vocabulary has text, as whole numbers where it has these."""
        casts: dict[str, ir.Value] = {}
        for name in self._recipe.categorical:
            kind = pa.types.is_integer(self._vocabulary(name).schema.field("raw").type)
            if kind != table[name].type().is_integer():
                casts[name] = table[name].try_cast("int64") if kind else table[name].cast("string")
        return table.mutate(**casts) if casts else table

    def _vocabulary(self, name: str) -> pa.Table:
        return self._run.vocabularies[self._recipe.output_name(name)]

    def _vocabularies(self, database: Database) -> dict[str, Vocabulary]:
        read = {}
        for name in self._recipe.categorical:
            words = vocabulary.from_file(ibis.memtable(self._vocabulary(name)))
            read[name] = Vocabulary(database.keep(f"vocabulary {name}", words), 0)
        return read

    def _unknown(self, database: Database, identified: ir.Table) -> dict[str, int]:
        names = self._recipe.categorical
        found = database.rows(identified.agg(**{name: (identified[name] == 0).sum() for name in names}))[0]
        return {"unknown_items" if name == ITEM else f"unknown_{name}": found[name] or 0 for name in names}

    def _rows(self, database: Database, known: ir.Table, starts: ir.Table, *, has_times: bool) -> ir.Table:
        """Make the rows of the sessions with a known item, with the lists of their own events and of their history."""
        ordered = database.keep("ordered events", sessions.in_order(known, self._recipe))
        events = database.keep("events with features", self._with_features(database, ordered, has_times=has_times))
        current = events.mutate(_position=events["_length"] - 1 - events["_from_end"])
        rows = database.keep("rows", day_files.as_rows(current, starts))
        own = current.select("_row", "_position", "_time", *self._columns)
        length = 0
        if self.schema.past:
            length = self._recipe.past_length_max
            own = self._behind_history(database, rows, own, sessions.kept(events, self._recipe))
        else:
            own = own.rename(_at="_position")
        lists = database.with_lists("rows with lists", rows, own, self._columns, history=length)
        names = {self._recipe.output_name(name): name for name in self._columns}
        pasts = {of.name: HISTORY_PREFIX + names[name] for name, of in self.schema.past.items()}
        return lists.select("_row", "session_id", **{new: lists[name] for new, name in (names | pasts).items()})

    def _with_features(self, database: Database, events: ir.Table, *, has_times: bool) -> ir.Table:
        numbers = features.numbers_of(self._recipe, has_time_of_day=True)
        numbers = {name: number for name, number in numbers.items() if name in self._columns}
        if "relative_price" in numbers:
            events = self._with_category_price(database, events, has_times=has_times)
        # An event can be older than the first one of its item in the run's days.
        events = events.mutate(_first_seen=ibis.least(events["_first_seen"], events["_time"]))
        events = features.with_numbers(events, numbers, self._manifest.standardizers)
        if not has_times:
            timed = [name for name, number in numbers.items() if number.needs_date or number.needs_time_of_day]
            events = events.mutate(**{name: ibis.literal(0.0, type="float32") for name in timed})
        return events

    def _with_category_price(self, database: Database, events: ir.Table, *, has_times: bool) -> ir.Table:
        """Add the mean prices that the run's days had; the prices of these events change none."""
        known = self._run.category_prices
        if known is None:
            raise InputError(f"{self._run.path} has no prices of categories; train it again on days preprocessed anew")
        unit = self._recipe.time_unit
        fitted_until = self._manifest.fitted_until(unit)
        if not has_times:
            after = max(known.column("day").to_pylist(), default=0) + 1
            events = events.mutate(_time=ibis.literal(after * times.MILLISECONDS[unit], type="int64"))
        unpriced = events.mutate(**{PRICE: ibis.null("float64")})
        sums = category_prices.sums(unpriced, ibis.memtable(known), unit, fitted_until)
        sums = database.keep(category_prices.KEPT, sums)
        priced = category_prices.with_category_price(events, sums, unit, fitted_until)
        return priced if has_times else priced.mutate(_time=ibis.literal(times.NO_TIME, type="int64"))

    def _behind_history(self, database: Database, rows: ir.Table, own: ir.Table, kept: ir.Table) -> ir.Table:
        """Give the events of each row behind those of its user's earlier sessions, which are those of the day files."""
        lengths = kept.group_by(_of="_row").agg(_kept=kept.count())
        joined = rows.join(lengths, rows["_row"] == lengths["_of"], how="left")
        counted = joined.select("_row", "_user", "_start", _length=joined["_kept"].fill_null(0))
        numbers = database.keep("numbers", history.numbered(counted, None))
        known = numbers.filter(numbers["_length"] > 0)
        longest = self._recipe.session_length_max
        pairs = history.pairs_of(numbers, known, length=self._recipe.past_length_max, longest=longest)
        kept = kept.select("_position", "_time", *self._columns, _of="_row")
        earlier = pairs.join(kept, pairs["_then"] == kept["_of"])
        earlier = earlier.filter(earlier["_time"] < earlier["_start"])
        columns = ["_row", "_at", *self._columns]
        earlier = earlier.mutate(_at=earlier["_first"] + earlier["_position"]).select(*columns)
        return earlier.union(own.mutate(_at=own["_position"] + history.OWN).select(*columns))


def _by_reason(table: ir.Table) -> ir.Table:
    return table.group_by("_reason").agg(count=ibis._.count())


def _session_column(recipe: Recipe) -> str:
    return recipe.session_column or "session"


def _without_split(recipe: Recipe) -> Recipe:
    """Treat a sequence as one session, whatever part of it was trained on."""
    if not recipe.is_split:
        return recipe
    return replace(recipe, split="leave_one_out", split_column=None, valid_from=None, test_from=None, k_core=0)
