"""Raw ids become whole numbers from 1, in order of first appearance, so that no later day changes an earlier id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import FIRST_SEEN, TIME, column, step
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM
from transformers4recsys.preprocessing.steps.events import check_type
from transformers4recsys.preprocessing.tables import Kept


@dataclass(frozen=True)
class Vocabulary:
    """Columns raw, id, first_seen (milliseconds) and count, a row a raw value; a missing value is one, too."""

    table: ir.Table
    largest_id: int


def extended(database: Database, name: str, events: ir.Table, earlier: Path | None) -> Vocabulary:
    """Number the values of column `name`; those of `earlier` days keep their ids, new ones follow on.

    New values are ordered by the time of their first event, ties by the raw value, missing ones last.
    """
    seen = events.group_by(raw=events[name]).agg(first_seen=TIME.of(events).min(), count=ibis._.count())
    if earlier:
        table = _continued(database, name, seen, earlier)
    else:
        table = _numbered(seen, 1)
    table = database.keep(Kept.VOCABULARY.of(name), table)
    return Vocabulary(table, _largest_id(database, table))


def _continued(database: Database, name: str, seen: ir.Table, path: Path) -> ir.Table:
    """Count what was known anew, and number what was not behind it."""
    known = _read(database, path)
    if not database.rows(known.agg(values=column(known, "raw").count()))[0]["values"]:
        # Days without a single value had no type.
        known = known.mutate(raw=ibis.null(seen["raw"].type()))
    check_type(name, seen["raw"], known["raw"], path)
    matched = seen.join(known, column(seen, "raw").identical_to(known["raw"]), how="left")
    matched = matched.select(seen["raw"], seen["first_seen"], seen["count"], known_id=known["id"])
    matched = database.keep(Kept.SEEN.of(name), matched)
    again = matched.filter(matched["known_id"].notnull()).select("known_id", again="count")
    recounted = known.join(again, column(known, "id") == again["known_id"], how="left")
    count = column(recounted, "count") + column(recounted, "again").fill_null(0)
    recounted = recounted.select("raw", "id", "first_seen", count=count)
    new = matched.filter(matched["known_id"].isnull()).drop("known_id")
    return recounted.union(_numbered(new, _largest_id(database, known) + 1))


def _numbered(seen: ir.Table, first_id: int) -> ir.Table:
    order = [seen["first_seen"], seen["raw"].isnull(), seen["raw"]]
    number = ibis.row_number().over(order_by=order)
    return seen.select("raw", id=(number + first_id).cast("int64"), first_seen="first_seen", count="count")


def _largest_id(database: Database, table: ir.Table) -> int:
    return database.rows(table.agg(largest=table["id"].max()))[0]["largest"]


@step(gives=(FIRST_SEEN,))
def with_ids(events: ir.Table, vocabularies: Mapping[str, Vocabulary], *, has_unknown: bool = False) -> ir.Table:
    """Replace each raw value by its id, and add `_first_seen` of the item.

    With `has_unknown`, a value may be none of the vocabulary's: its id is 0.
    """
    joined = events
    for name, vocabulary in vocabularies.items():
        words = vocabulary.table.select(
            **{f"_raw {name}": "raw", f"_id {name}": "id", f"_first_seen {name}": "first_seen"}
        )
        is_word = column(joined, name).identical_to(words[f"_raw {name}"])
        joined = joined.join(words, is_word, how="left" if has_unknown else "inner")
    ids = {name: column(joined, f"_id {name}") for name in vocabularies}
    if has_unknown:
        ids = {name: number.fill_null(0) for name, number in ids.items()}
    others = {name: joined[name] for name in events.columns if name not in ids}
    return joined.select(**others, **ids, **{FIRST_SEEN: joined[f"_first_seen {ITEM}"]})


def to_file(table: ir.Table) -> ir.Table:
    """Lay a vocabulary out as it is written: raw, id, first_seen, first_day, count, by id."""
    first_seen = times.timestamp(column(table, "first_seen"))
    columns = {"raw": table["raw"], "id": table["id"], "first_seen": first_seen, "first_day": first_seen.date()}
    return table.select(**columns, count=table["count"]).order_by("id")


def _read(database: Database, path: Path) -> ir.Table:
    return from_file(database.read("parquet", [str(path)]))


def from_file(table: ir.Table) -> ir.Table:
    """Read what `to_file` laid out."""
    return table.select("raw", "id", first_seen=times.of_timestamp(column(table, "first_seen")), count="count")
