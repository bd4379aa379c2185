"""Negative columns: for each position of a session some items out of the days before it, none of the session's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe

CLICKS = "clicks to draw from"
# A draw is a whole number below CHANCES; items are looked up by its bucket.
CHANCES, BUCKET = 2**32, 2**18
# Full weight of a click; sums of whole numbers do not depend on the order of threads.
WHOLE = 2**20
DRAWS_AT_A_TIME = 16_000_000

# Weight of an item, from the rows of `_clicks_by_age`, which count its clicks of one age.
WEIGHTS: dict[str, Callable[[ir.Table], ir.IntegerScalar]] = {
    "uniform": lambda clicks: ibis.literal(1, type="int64"),
    "recency": lambda clicks: clicks["_share"].max(),
    "recent_popularity": lambda clicks: (clicks["_share"] * clicks["_count"]).sum(),
}
COOCCURRENCE = "session_cooccurrence"


def with_negatives(
    database: Database, rows: ir.Table, events: ir.Table, days: Sequence[int], recipe: Recipe
) -> ir.Table:
    """Add `_negatives` to `rows` with these `events`: `neg_samples` different items a position, then 0.

    Bundles of days come one after the other; their clicks are drawn from by later days.
    """
    lists = events.select("_row", _at="_position", _items=ITEM, _times="_time")
    clicked = database.with_lists("clicked", rows, lists, ["_items", "_times"])
    database.append(CLICKS, clicks_of(clicked, recipe.time_unit))
    clicks = database.find(CLICKS)
    assert clicks is not None
    draws = _Draws(database, clicks, days, recipe)
    starts = rows.select("_row", _day=times.day_of(rows["_start"], recipe.time_unit))
    positions = events.join(starts, "_row").select("_row", "_day", "_position", _item=ITEM)
    positions = database.keep("positions", positions)
    num_positions = database.rows(positions.agg(count=positions.count()))[0]["count"]
    num_parts = ceil(num_positions * draws.num_draws / DRAWS_AT_A_TIME) or 1
    for part in range(num_parts):
        negatives = draws.negatives(positions.filter(positions["_row"] % num_parts == part))
        (database.append if part else database.keep)("negatives", negatives)
    negatives = database.find("negatives")
    assert negatives is not None
    joined = rows.join(negatives, "_row").select(*rows.columns, "_negatives")
    return database.keep("rows with negatives", joined)


def remember(database: Database, files: Sequence[str], recipe: Recipe) -> None:
    """Make the clicks in day files of earlier calls known."""
    table = database.read("parquet", files)
    names = {name: table[recipe.output_name(name)] for name in ("session_id", "session_start", ITEM, "event_time")}
    rows = table.select(
        session_id=names["session_id"],
        _start=times.of_timestamp(names["session_start"]),
        _items=names[ITEM],
        _times=names["event_time"].map(times.of_timestamp),
    )
    database.append(CLICKS, clicks_of(rows, recipe.time_unit))


def window(recipe: Recipe) -> int:
    """Give the length of the window in units of time."""
    return recipe.neg_window_days * _units_a_day(recipe)


def clicks_of(rows: ir.Table, time_unit: str) -> ir.Table:
    """List clicks of sessions: _day and _number (within it) of the session, _length, _position, _item, _click_day.

    `rows` has session_id, _start, and the lists _items and _times.
    """
    day = times.day_of(rows["_start"], time_unit)
    # Numbered alike, whether the session comes from this call or from a day file.
    number = ibis.row_number().over(group_by=day, order_by=[rows["_start"], rows["session_id"]])
    length = rows["_items"].length()
    clicks = ibis.range(0, length).zip(rows["_items"], rows["_times"])
    sessions = rows.select(_day=day, _number=number, _length=length.cast("int64"), _clicks=clicks)
    # In a step of its own: beside an unnest, Spark numbers what comes out of it, and DuckDB what goes in.
    clicks = sessions.select("_day", "_number", "_length", _click=sessions["_clicks"].unnest())
    return clicks.select(
        "_day",
        "_number",
        "_length",
        _position=clicks["_click"]["f1"].cast("int64"),
        _item=clicks["_click"]["f2"],
        _click_day=times.day_of(clicks["_click"]["f3"], time_unit),
    )


def chance(*numbers: ir.IntegerValue) -> ir.IntegerValue:
    """Hash up to four whole numbers to one of 0 .. CHANCES - 1, each as likely, in the same way on every engine."""
    factors = (73_856_093, 19_349_663, 83_492_791, 49_979_687)
    mixed = ibis.literal(0, type="int64")
    for number, factor in zip(numbers, factors, strict=False):
        mixed = mixed + number.cast("int64") % CHANCES * factor
    mixed = mixed % CHANCES
    for _ in range(3):
        mixed = (mixed ^ (mixed >> 16)) * 0x45D9F3B % CHANCES
    return mixed


def places_of(weights: ir.Table) -> ir.Table:
    """Give each item of a day (_target, _item, _weight) its part of all chances, _since to _until, once a bucket."""
    so_far = weights["_weight"].sum().over(ibis.window(group_by="_target", order_by="_item", rows=(None, 0)))
    total = weights["_weight"].sum().over(ibis.window(group_by="_target"))
    weights = weights.mutate(_so_far=so_far.cast("int64"), _total=total.cast("float64"))
    ends = {"_since": weights["_so_far"] - weights["_weight"], "_until": weights["_so_far"]}
    ends = {
        name: (end.cast("float64") / weights["_total"] * CHANCES).floor().cast("int64") for name, end in ends.items()
    }
    places = weights.select("_target", _drawn="_item", **ends)
    places = places.filter(places["_since"] < places["_until"])
    buckets = ibis.range(places["_since"] // BUCKET, (places["_until"] - 1) // BUCKET + 1)
    return places.mutate(_bucket=buckets.unnest())


class _Draws:
    """Draws for the positions of sessions that start on `days`, from the clicks in the window before each day."""

    def __init__(self, database: Database, clicks: ir.Table, days: Sequence[int], recipe: Recipe):
        self.recipe = recipe
        # More than are needed, since a draw counts for nothing if it hits the session's own or one item again.
        self.num_draws = recipe.neg_samples * 3 // 2 + 8
        clicks = clicks.filter(clicks["_day"] >= days[0] - window(recipe))
        self.clicks = clicks
        by_age = self._clicks_by_age(days)
        strategy = recipe.neg_strategy
        self.finds_together = strategy == COOCCURRENCE
        weight = WEIGHTS["recent_popularity" if self.finds_together else strategy](by_age)
        weights = by_age.group_by("_target", "_item").agg(_weight=weight.cast("int64"))
        self.places = database.keep("places of items", places_of(weights))
        if self.finds_together:
            self._number_occurrences(database, days)

    def negatives(self, positions: ir.Table) -> ir.Table:
        """Give `_row` and its list `_negatives`, for positions (_row, _day, _position, _item)."""
        drawn = self._by_weight(positions)
        if self.finds_together:
            drawn = drawn.union(self._together(positions))
        own = positions.select(_own_row="_row", _own="_item")
        drawn = drawn.anti_join(own, [drawn["_row"] == own["_own_row"], drawn["_drawn"] == own["_own"]])
        different = drawn.group_by("_row", "_position", "_drawn").agg(_attempt=drawn["_attempt"].min())
        one = ibis.struct({"_attempt": different["_attempt"], "_drawn": different["_drawn"]})
        found = different.group_by("_row", "_position").agg(_found=one.collect().sort())
        found = found.select(
            _found_row="_row", _found_at="_position", _drawn=found["_found"].map(lambda each: each["_drawn"])
        )
        every = positions.left_join(
            found, [positions["_row"] == found["_found_row"], positions["_position"] == found["_found_at"]]
        )
        nothing = ibis.literal([0] * self.recipe.neg_samples, type="array<int64>")
        filled = every["_drawn"].fill_null(nothing).concat(nothing)[: self.recipe.neg_samples]
        at_position = ibis.struct({"_position": every["_position"], "_drawn": filled})
        lists = every.group_by("_row").agg(_lists=at_position.collect().sort())
        return lists.select("_row", _negatives=lists["_lists"].map(lambda each: each["_drawn"]).flatten())

    def _clicks_by_age(self, days: Sequence[int]) -> ir.Table:
        """Count clicks by day to draw for (_target), item and `_share`, what is left of a click's weight at its age."""
        counts = self.clicks.group_by("_day", "_click_day", "_item").agg(_count=ibis._.count())
        counts = self._for_targets(counts, days)
        counts = counts.filter(counts["_click_day"] < counts["_target"])
        age = (counts["_target"] - counts["_click_day"]) / _units_a_day(self.recipe)
        # Powers may differ in their last bit between engines; whole numbers are the same.
        share = (ibis.literal(self.recipe.neg_decay) ** age * WHOLE).ceil().cast("int64")
        return counts.select("_target", "_item", "_count", _share=share)

    def _for_targets(self, table: ir.Table, days: Sequence[int]) -> ir.Table:
        """Repeat what is of a `_day` for each of `days` in whose window it lies, `_target`."""
        targets = ibis.range(
            ibis.greatest(table["_day"], days[0] - 1) + 1,
            ibis.least(table["_day"] + window(self.recipe), days[-1]) + 1,
        )
        return table.mutate(_target=targets.unnest())

    def _number_occurrences(self, database: Database, days: Sequence[int]) -> None:
        """Number the clicks of each item in order of their sessions; those of a window follow one another."""
        order = ibis.window(group_by="_item", order_by=["_day", "_number", "_position"])
        self.occurrences = database.keep("occurrences", self.clicks.mutate(_nth=ibis.row_number().over(order)))
        by_day = self.occurrences.group_by("_item", "_day").agg(
            _first=self.occurrences["_nth"].min(), _count=self.occurrences.count()
        )
        windows = self._for_targets(by_day, days).group_by("_target", "_item")
        self.windows = database.keep(
            "occurrences by window", windows.agg(_first=ibis._["_first"].min(), _count=ibis._["_count"].sum())
        )

    def _by_weight(self, positions: ir.Table) -> ir.Table:
        """Draw items in proportion to their weights; `_attempt` says which of the draws counts first."""
        # Those that are to fill up come last.
        first = self.num_draws if self.finds_together else 0
        draws = positions.mutate(_attempt=ibis.range(first, first + self.num_draws).unnest())
        draws = draws.mutate(_chance=chance(draws["_row"], draws["_position"], draws["_attempt"]))
        draws = draws.mutate(_chance_bucket=draws["_chance"] // BUCKET)
        places = self.places
        joined = draws.join(
            places,
            [
                draws["_day"] == places["_target"],
                draws["_chance_bucket"] == places["_bucket"],
                draws["_chance"] >= places["_since"],
                draws["_chance"] < places["_until"],
            ],
        )
        return joined.select("_row", "_position", "_attempt", "_drawn")

    def _together(self, positions: ir.Table) -> ir.Table:
        """Draw a session of the window that has the position's item, and another click of that session."""
        windows = self.windows.select("_target", _known="_item", _first="_first", _count="_count")
        on = [positions["_day"] == windows["_target"], positions["_item"] == windows["_known"]]
        draws = positions.join(windows, on)
        draws = draws.mutate(_attempt=ibis.range(0, self.num_draws).unnest())
        key = draws["_row"], draws["_position"], draws["_attempt"]
        draws = draws.mutate(_wanted=draws["_first"] + _scaled(chance(*key, ibis.literal(1)), draws["_count"]))
        draws = draws.select("_row", "_target", "_position", "_attempt", "_known", "_wanted")
        # The item was clicked, and so was the other one, before the day begins.
        same = self.occurrences.select(
            _same="_item",
            _nth="_nth",
            _session_day="_day",
            _session="_number",
            _length="_length",
            _stood="_position",
            _same_day="_click_day",
        )
        met = draws.join(same, [draws["_known"] == same["_same"], draws["_wanted"] == same["_nth"]])
        met = met.filter(met["_same_day"] < met["_target"])
        key = met["_row"], met["_position"], met["_attempt"]
        step = 1 + _scaled(chance(*key, ibis.literal(2)), met["_length"] - 1)
        met = met.mutate(_place=(met["_stood"] + step) % met["_length"])
        other = self.clicks.select("_day", "_number", _at="_position", _drawn="_item", _drawn_day="_click_day")
        pairs = met.join(
            other,
            [
                met["_session_day"] == other["_day"],
                met["_session"] == other["_number"],
                met["_place"] == other["_at"],
                other["_drawn_day"] < met["_target"],
            ],
        )
        return pairs.select("_row", "_position", "_attempt", "_drawn")


def _scaled(chance: ir.IntegerValue, number: ir.IntegerValue) -> ir.IntegerValue:
    """Turn a chance into a whole number below `number`, each as likely."""
    return (chance.cast("float64") * number / CHANCES).floor().cast("int64")


def _units_a_day(recipe: Recipe) -> int:
    return times.MILLISECONDS["day"] // times.MILLISECONDS[recipe.time_unit]
