"""Raw events become what the model reads, by the steps of `preprocess` and with all that was fitted for the run."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
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
from transformers4recsys.preprocessing import raw_log
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.protocol import Database, Unreadable
from transformers4recsys.preprocessing.manifest import Manifest
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.steps import day_files, sessions, vocabulary
from transformers4recsys.preprocessing.steps import events as raw_events
from transformers4recsys.recommender.inference import Sessions, inputs_of
from transformers4recsys.recommender.item_table import with_item_columns
from transformers4recsys.recommender.requests import Request
from transformers4recsys.recommender.run_steps import RunSteps
from transformers4recsys.run_folder import RunFolder

SESSIONS_AT_A_TIME = 4_096
# Orders events that neither times nor an order column of their own do.
PLACE = "place in the file"
MEND = "mend the line, or leave it out: events are read as the log was that the run was trained on"
OF_RUN = "the run's recipe has settled that: write the file as the log was that the run was trained on"
OpenRaw = Callable[[Database, Recipe, Path], ir.Table]


@dataclass(frozen=True)
class EventSessions:
    """The sessions of some events: `rows` hold the lists that the model reads, `unknown` the ids of the others.

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
        manifest = Manifest(**dict(run.preprocessing))
        self._recipe = _without_split(Recipe(**manifest.settings))
        self._memory_limit, self._threads = memory_limit, threads
        self._keeps_unknown = run.settings["model"].get("unknown_share", 0) > 0
        standard = {self._recipe.output_name(name): name for name in self._recipe.standard_names}
        columns = tuple(standard[feature.name] for feature in self.schema.features)
        self._steps = RunSteps(run, self._recipe, manifest, columns)

    @property
    def partition_column(self) -> str:
        """The raw column whose values have to stay together: what a session reads lies in the rows of one value."""
        reads_user = bool(self.schema.past) or not self._recipe.session_column
        return (reads_user and self._recipe.user_column) or _session_column(self._recipe)

    def opened_table(self, events: pa.Table) -> AbstractContextManager[EventSessions]:
        """Read the events of a table."""
        # Databases keep no column without a type, which is that of a column without a value.
        typed = [pa.field(each.name, pa.string()) if pa.types.is_null(each.type) else each for each in events.schema]
        events = events.cast(pa.schema(typed))
        return self.opened(lambda database, recipe, folder: database.keep("raw", ibis.memtable(events)))

    def opened_files(self, kind: str, files: Sequence[str]) -> AbstractContextManager[EventSessions]:
        """Read the events of files of one kind: parquet, csv, or json (lines)."""
        logs: list[raw_log.RawLog] = []

        def open_raw(database: Database, recipe: Recipe, folder: Path) -> ir.Table:
            try:
                logs.append(raw_log.opened(kind, files, recipe, folder))
            except InputError as error:
                if {*re.findall(r"`(\w+)`", str(error))} & {field.name for field in fields(Recipe)}:
                    raise InputError(f"{error}; {OF_RUN}") from error
                raise
            return logs[0].table(database)

        return self.opened(open_raw, explained=lambda error: logs[0].explained(error, MEND) if logs else error)

    @contextmanager
    def opened(
        self, open_raw: OpenRaw, explained: Callable[[Unreadable], InputError] = lambda error: error
    ) -> Generator[EventSessions]:
        """Read the events that `open_raw` finds; what is given back can be used until the end of the block.

        `explained` says what is wrong with a file in words of its own.
        """
        with TemporaryDirectory(prefix="transformers4recsys-") as folder:
            database = DuckDB(Path(folder), memory_limit=self._memory_limit, threads=self._threads)
            try:
                yield self._sessions(database, open_raw(database, self._recipe, Path(folder) / "raw"))
            except Unreadable as error:
                raise explained(error) from error
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
        if recipe.order_column not in raw.columns and (recipe.order_column or not has_times):
            recipe = replace(recipe, order_column=PLACE)
            raw = database.keep("raw events in order", raw.mutate(**{PLACE: ibis.row_number()}))
        raw = with_item_columns(raw, recipe, self._run.item_table)
        table = raw_events.standard_columns(raw, recipe, parse_time=database.parse_time)
        table = self._steps.with_types_of_vocabulary(table)
        table = raw_events.with_reason(table, recipe, written_before=None, first_day=None, last_day=None)
        table = database.keep("raw events", table)
        counts = {f"dropped_{row['_reason']}": row["count"] for row in database.rows(_by_reason(table))}
        counts["events"] = sum(counts.values())
        counts.pop("dropped_None", None)
        events = raw_events.without_reason(table)
        if recipe.gap_minutes is not None:
            events = sessions.with_start(events, recipe.gap_minutes)
        starts = database.keep("sessions", sessions.numbered(events, recipe))
        identified = vocabulary.with_ids(events, self._steps.vocabularies(database), has_unknown=True)
        identified = database.keep("events with ids", sessions.with_row(identified, starts))
        counts |= self._steps.count_unknown(database, identified)
        known = identified if self._keeps_unknown else identified.filter(identified[ITEM] > 0)
        rows = self._rows(database, known, starts, has_times=has_times)
        unknown = starts.anti_join(rows, "_row").order_by("_row").select("session_id")
        num_sessions = database.rows(starts.agg(count=starts.count()))[0]["count"]
        return EventSessions(database, rows, unknown, num_sessions, counts)

    def _rows(self, database: Database, known: ir.Table, starts: ir.Table, *, has_times: bool) -> ir.Table:
        """Make the rows of the sessions with a known item, with the lists of their own events and of their history."""
        ordered = database.keep("ordered events", sessions.in_order(known, self._recipe))
        events = self._steps.with_features(database, ordered, has_times=has_times)
        events = database.keep("events with features", events)
        current = events.mutate(_position=events["_length"] - 1 - events["_from_end"])
        rows = database.keep("rows", day_files.as_rows(current, starts))
        own = current.select("_row", "_position", "_time", *self._steps.columns)
        length = 0
        if self.schema.past:
            length = self._recipe.past_length_max
            own = self._steps.behind_history(database, rows, own, sessions.kept(events, self._recipe))
        else:
            own = own.rename(_at="_position")
        lists = database.with_lists("rows with lists", rows, own, self._steps.columns, history=length)
        names = {self._recipe.output_name(name): name for name in self._steps.columns}
        pasts = {of.name: HISTORY_PREFIX + names[name] for name, of in self.schema.past.items()}
        return lists.select("_row", "session_id", **{new: lists[name] for new, name in (names | pasts).items()})


def _by_reason(table: ir.Table) -> ir.Table:
    return table.group_by("_reason").agg(count=ibis._.count())


def _session_column(recipe: Recipe) -> str:
    return recipe.session_column or "session"


def _without_split(recipe: Recipe) -> Recipe:
    """Treat a sequence as one session, whatever part of it was trained on."""
    if not recipe.is_split:
        return recipe
    return replace(recipe, split="leave_one_out", split_column=None, valid_from=None, test_from=None, k_core=0)
