"""The steps of `preprocess` with what they found for a run: its ids, its means of prices, its scales."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import pyarrow as pa
from ibis.expr import types as ir

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.manifest import Manifest
from transformers4recsys.preprocessing.recipe import ITEM, PRICE, Recipe
from transformers4recsys.preprocessing.steps import category_prices, features, history, vocabulary
from transformers4recsys.preprocessing.steps.vocabulary import Vocabulary
from transformers4recsys.preprocessing.tables import Kept
from transformers4recsys.run_folder import RunFolder


@dataclass(frozen=True)
class RunSteps:
    """Steps on events by standard column names; `columns` are those that the model reads."""

    run: RunFolder
    recipe: Recipe
    manifest: Manifest
    columns: tuple[str, ...]

    def with_types_of_vocabulary(self, table: ir.Table) -> ir.Table:
        """Read ids as text where the vocabulary has text, as whole numbers where it has these."""
        casts: dict[str, ir.Value] = {}
        for name in self.recipe.categorical:
            kind = pa.types.is_integer(self._raw_values(name).schema.field("raw").type)
            if kind != table[name].type().is_integer() or times.is_missing(table[name].type()):
                casts[name] = table[name].try_cast("int64") if kind else table[name].cast("string")
        return table.mutate(**casts) if casts else table

    def _raw_values(self, name: str) -> pa.Table:
        return self.run.vocabularies[self.recipe.output_name(name)]

    def vocabularies(self, database: Database) -> dict[str, Vocabulary]:
        read: dict[str, Vocabulary] = {}
        for name in self.recipe.categorical:
            words = vocabulary.from_file(ibis.memtable(self._raw_values(name)))
            read[name] = Vocabulary(database.keep(f"vocabulary {name}", words), 0)
        return read

    def count_unknown(self, database: Database, identified: ir.Table) -> dict[str, int]:
        names = self.recipe.categorical
        found = database.rows(identified.agg(**{name: (identified[name] == 0).sum() for name in names}))[0]
        return {"unknown_items" if name == ITEM else f"unknown_{name}": found[name] or 0 for name in names}

    def with_features(self, database: Database, events: ir.Table, *, has_times: bool) -> ir.Table:
        numbers = features.numbers_of(self.recipe, has_time_of_day=True)
        numbers = {name: number for name, number in numbers.items() if name in self.columns}
        if "relative_price" in numbers:
            events = self._with_category_price(database, events, has_times=has_times)
        # An event can be older than the first one of its item in the run's days.
        events = events.mutate(_first_seen=ibis.least(events["_first_seen"], events["_time"]))
        events = features.with_numbers(events, numbers, self.manifest.standardizers)
        if not has_times:
            timed = [name for name, number in numbers.items() if number.needs_date or number.needs_time_of_day]
            events = events.mutate(**{name: ibis.literal(0.0, type="float32") for name in timed})
        return events

    def _with_category_price(self, database: Database, events: ir.Table, *, has_times: bool) -> ir.Table:
        """Add the mean prices that the run's days had; the prices of these events change none."""
        known = self.run.category_prices
        if known is None:
            raise InputError(f"{self.run.path} has no prices of categories; train it again on days preprocessed anew")
        unit = self.recipe.time_unit
        fitted_until = self.manifest.fitted_until(unit)
        if not has_times:
            after = max(known.column("day").to_pylist(), default=0) + 1
            events = events.mutate(_time=ibis.literal(after * times.MILLISECONDS[unit], type="int64"))
        unpriced = events.mutate(**{PRICE: ibis.null("float64")})
        sums = category_prices.sums(unpriced, ibis.memtable(known), unit, fitted_until)
        sums = database.keep(Kept.CATEGORY_PRICES, sums)
        priced = category_prices.with_category_price(events, sums, unit, fitted_until)
        return priced if has_times else priced.mutate(_time=ibis.literal(times.NO_TIME, type="int64"))

    def behind_history(self, database: Database, rows: ir.Table, own: ir.Table, kept: ir.Table) -> ir.Table:
        """Give the events of each row behind those of its user's earlier sessions, which are those of the day files."""
        lengths = kept.group_by(_of="_row").agg(_kept=kept.count())
        joined = rows.join(lengths, rows["_row"] == lengths["_of"], how="left")
        counted = joined.select("_row", "_user", "_start", _length=joined["_kept"].fill_null(0))
        numbers = database.keep("numbers", history.numbered(counted, None))
        known = numbers.filter(numbers["_length"] > 0)
        longest = self.recipe.session_length_max
        pairs = history.pairs_of(numbers, known, length=self.recipe.past_length_max, longest=longest)
        kept = kept.select("_position", "_time", *self.columns, _of="_row")
        earlier = pairs.join(kept, pairs["_then"] == kept["_of"])
        earlier = earlier.filter(earlier["_time"] < earlier["_start"])
        columns = ["_row", "_at", *self.columns]
        earlier = earlier.mutate(_at=earlier["_first"] + earlier["_position"]).select(*columns)
        return earlier.union(own.mutate(_at=own["_position"] + history.OWN).select(*columns))
