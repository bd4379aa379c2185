"""Negative columns: for each position of a session some items out of the days before it, none of the session's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import ibis
from ibis.expr import types as ir

from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import (
    AT,
    DAY,
    LENGTH,
    NEGATIVES,
    POSITION,
    ROW,
    SESSION_ID,
    START,
    TIME,
    Expression,
    column,
    step,
)
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.tables import Kept

# A draw is a whole number below CHANCES; items are looked up by its bucket.
CHANCES, BUCKET = 2**32, 2**18
# Full weight of a click; sums of whole numbers do not depend on the order of threads.
WHOLE = 2**20
DRAWS_AT_A_TIME = 16_000_000

# Weight of an item, from the rows of `_clicks_by_age`, which count its clicks of one age.
WEIGHTS: dict[str, Callable[[ir.Table], Expression]] = {
    "uniform": lambda clicks: ibis.literal(1, type="int64"),
    "recency": lambda clicks: column(clicks, "_share").max(),
    "recent_popularity": lambda clicks: (column(clicks, "_share") * column(clicks, "_count")).sum(),
}
COOCCURRENCE = "session_cooccurrence"


@step(needs=(ROW, START, SESSION_ID), gives=(NEGATIVES,))
def with_negatives(
    rows: ir.Table, database: Database, events: ir.Table, days: Sequence[int], recipe: Recipe
) -> ir.Table:
    """Add `_negatives` to `rows` with these `events`: `neg_samples` different items a position, then 0.

    Bundles of days come one after the other; their clicks are drawn from by later days.
    """
    lists = events.select(ROW, **{AT: POSITION}, _items=ITEM, _times=TIME)
    clicked = database.with_lists(Kept.CLICKED, rows, lists, ["_items", "_times"])
    clicks = database.append(Kept.CLICKS, clicks_of(clicked, recipe.time_unit))
    draws = _Draws(database, clicks, days, recipe)
    starts = rows.select(ROW, **{DAY: times.day_of(START.of(rows), recipe.time_unit)})
    positions = events.join(starts, ROW).select(ROW, DAY, POSITION, _item=ITEM)
    positions = database.keep(Kept.POSITIONS, positions)
    num_positions = database.rows(positions.agg(count=positions.count()))[0]["count"]
    num_parts = ceil(num_positions * draws.num_draws / DRAWS_AT_A_TIME) or 1
    put = database.keep
    for part in range(num_parts):
        negatives = put(Kept.NEGATIVES, draws.negatives(positions.filter(ROW.of(positions) % num_parts == part)))
        put = database.append
    joined = rows.join(negatives, ROW).select(*rows.columns, NEGATIVES)
    return database.keep(Kept.ROWS_WITH_NEGATIVES, joined)


def remember(database: Database, files: Sequence[str], recipe: Recipe) -> None:
    """Make the clicks in day files of earlier calls known."""
    table = database.read("parquet", files)
    names = {
        name: column(table, recipe.output_name(name)) for name in ("session_id", "session_start", ITEM, "event_time")
    }
    rows = table.select(
        session_id=names["session_id"],
        **{START: times.of_timestamp(names["session_start"])},
        _items=names[ITEM],
        _times=names["event_time"].map(times.of_timestamp),
    )
    database.append(Kept.CLICKS, clicks_of(rows, recipe.time_unit))


def window(recipe: Recipe) -> int:
    """Give the length of the window in units of time."""
    return recipe.neg_window_days * _units_a_day(recipe)


def clicks_of(rows: ir.Table, time_unit: str) -> ir.Table:
    """List clicks of sessions: _day and _number (within it) of the session, _length, _position, _item, _click_day.

    `rows` has session_id, _start, and the lists _items and _times.
    """
    day = times.day_of(START.of(rows), time_unit)
    # Numbered alike, whether the session comes from this call or from a day file.
    number = ibis.row_number().over(group_by=day, order_by=[START.of(rows), rows["session_id"]])
    length = column(rows, "_items").length()
    clicks = ibis.range(0, length).zip(column(rows, "_items"), column(rows, "_times"))
    sessions = rows.select(**{DAY: day, LENGTH: length.cast("int64")}, _number=number, _clicks=clicks)
    # In a step of its own: beside an unnest, Spark numbers what comes out of it, and DuckDB what goes in.
    clicks = sessions.select(DAY, "_number", LENGTH, _click=column(sessions, "_clicks").unnest())
    click = column(clicks, "_click")
    return clicks.select(
        DAY,
        "_number",
        LENGTH,
        **{POSITION: click["f1"].cast("int64")},
        _item=click["f2"],
        _click_day=times.day_of(click["f3"], time_unit),
    )


def chance(*numbers: Expression) -> Expression:
    """Hash up to four whole numbers to one of 0 .. CHANCES - 1, each as likely, in the same way on every engine."""
    factors = (73_856_093, 19_349_663, 83_492_791, 49_979_687)
    mixed: Expression = ibis.literal(0, type="int64")
    for number, factor in zip(numbers, factors, strict=False):
        mixed = mixed + number.cast("int64") % CHANCES * factor
    mixed = mixed % CHANCES
    for _ in range(3):
        mixed = (mixed ^ (mixed >> 16)) * 0x45D9F3B % CHANCES
    return mixed


def places_of(weights: ir.Table) -> ir.Table:
    """Give each item of a day (_target, _item, _weight) its part of all chances, _since to _until, once a bucket."""
    so_far = column(weights, "_weight").sum().over(ibis.window(group_by="_target", order_by="_item", rows=(None, 0)))
    total = column(weights, "_weight").sum().over(ibis.window(group_by="_target"))
    weights = weights.mutate(_so_far=so_far.cast("int64"), _total=total.cast("float64"))
    ends = {"_since": column(weights, "_so_far") - column(weights, "_weight"), "_until": column(weights, "_so_far")}
    ends = {
        name: (end.cast("float64") / column(weights, "_total") * CHANCES).floor().cast("int64")
        for name, end in ends.items()
    }
    places = weights.select("_target", _drawn="_item", **ends)
    places = places.filter(column(places, "_since") < column(places, "_until"))
    buckets = ibis.range(column(places, "_since") // BUCKET, (column(places, "_until") - 1) // BUCKET + 1)
    return places.mutate(_bucket=buckets.unnest())


class _Draws:
    """Draws for the positions of sessions that start on `days`, from the clicks in the window before each day."""

    def __init__(self, database: Database, clicks: ir.Table, days: Sequence[int], recipe: Recipe):
        self.recipe = recipe
        # More than are needed, since a draw counts for nothing if it hits the session's own or one item again.
        self.num_draws = recipe.neg_samples * 3 // 2 + 8
        clicks = clicks.filter(DAY.of(clicks) >= days[0] - window(recipe))
        self.clicks = clicks
        by_age = self._clicks_by_age(days)
        strategy = recipe.neg_strategy
        self.finds_together = strategy == COOCCURRENCE
        weight = WEIGHTS["recent_popularity" if self.finds_together else strategy](by_age)
        weights = by_age.group_by("_target", "_item").agg(_weight=weight.cast("int64"))
        self.places = database.keep(Kept.PLACES, places_of(weights))
        if self.finds_together:
            self._number_occurrences(database, days)

    def negatives(self, positions: ir.Table) -> ir.Table:
        """Give `_row` and its list `_negatives`, for positions (_row, _day, _position, _item)."""
        drawn = self._by_weight(positions)
        if self.finds_together:
            drawn = drawn.union(self._together(positions))
        own = positions.select(_own_row=ROW, _own="_item")
        drawn = drawn.anti_join(own, [ROW.of(drawn) == own["_own_row"], column(drawn, "_drawn") == own["_own"]])
        different = drawn.group_by(ROW, POSITION, "_drawn").agg(_attempt=column(drawn, "_attempt").min())
        one: Expression = ibis.struct({"_attempt": different["_attempt"], "_drawn": different["_drawn"]})
        found = different.group_by(ROW, POSITION).agg(_found=one.collect().sort())
        found = found.select(
            _found_row=ROW, _found_at=POSITION, _drawn=column(found, "_found").map(lambda each: each["_drawn"])
        )
        every = positions.left_join(
            found, [ROW.of(positions) == found["_found_row"], POSITION.of(positions) == found["_found_at"]]
        )
        nothing = ibis.literal([0] * self.recipe.neg_samples, type="array<int64>")
        filled = column(every, "_drawn").fill_null(nothing).concat(nothing)[: self.recipe.neg_samples]
        at_position: Expression = ibis.struct({POSITION: every[POSITION], "_drawn": filled})
        lists = every.group_by(ROW).agg(_lists=at_position.collect().sort())
        return lists.select(ROW, **{NEGATIVES: column(lists, "_lists").map(lambda each: each["_drawn"]).flatten()})

    def _clicks_by_age(self, days: Sequence[int]) -> ir.Table:
        """Count clicks by day to draw for (_target), item and `_share`, what is left of a click's weight at its age."""
        counts = self.clicks.group_by(DAY, "_click_day", "_item").agg(_count=ibis._.count())
        counts = self._for_targets(counts, days)
        counts = counts.filter(column(counts, "_click_day") < column(counts, "_target"))
        age = (column(counts, "_target") - column(counts, "_click_day")) / _units_a_day(self.recipe)
        # Powers may differ in their last bit between engines; whole numbers are the same.
        decay: Expression = ibis.literal(self.recipe.neg_decay)
        share = (decay**age * WHOLE).ceil().cast("int64")
        return counts.select("_target", "_item", "_count", _share=share)

    def _for_targets(self, table: ir.Table, days: Sequence[int]) -> ir.Table:
        """Repeat what is of a `_day` for each of `days` in whose window it lies, `_target`."""
        first: Expression = ibis.greatest(DAY.of(table), days[0] - 1)
        last: Expression = ibis.least(DAY.of(table) + window(self.recipe), days[-1])
        targets = ibis.range(first + 1, last + 1)
        return table.mutate(_target=targets.unnest())

    def _number_occurrences(self, database: Database, days: Sequence[int]) -> None:
        """Number the clicks of each item in order of their sessions; those of a window follow one another."""
        order = ibis.window(group_by="_item", order_by=[DAY, "_number", POSITION])
        self.occurrences = database.keep(Kept.OCCURRENCES, self.clicks.mutate(_nth=ibis.row_number().over(order)))
        by_day = self.occurrences.group_by("_item", DAY).agg(
            _first=column(self.occurrences, "_nth").min(), _count=self.occurrences.count()
        )
        windows = self._for_targets(by_day, days).group_by("_target", "_item")
        self.windows = database.keep(
            Kept.WINDOWS, windows.agg(_first=ibis._["_first"].min(), _count=ibis._["_count"].sum())
        )

    def _by_weight(self, positions: ir.Table) -> ir.Table:
        """Draw items in proportion to their weights; `_attempt` says which of the draws counts first."""
        # Those that are to fill up come last.
        first = self.num_draws if self.finds_together else 0
        draws = positions.mutate(_attempt=ibis.range(first, first + self.num_draws).unnest())
        draws = draws.mutate(_chance=chance(ROW.of(draws), POSITION.of(draws), column(draws, "_attempt")))
        draws = draws.mutate(_chance_bucket=column(draws, "_chance") // BUCKET)
        places = self.places
        joined = draws.join(
            places,
            [
                DAY.of(draws) == places["_target"],
                column(draws, "_chance_bucket") == places["_bucket"],
                column(draws, "_chance") >= places["_since"],
                column(draws, "_chance") < places["_until"],
            ],
        )
        return joined.select(ROW, POSITION, "_attempt", "_drawn")

    def _together(self, positions: ir.Table) -> ir.Table:
        """Draw a session of the window that has the position's item, and another click of that session."""
        windows = self.windows.select("_target", _known="_item", _first="_first", _count="_count")
        on = [DAY.of(positions) == windows["_target"], column(positions, "_item") == windows["_known"]]
        draws = positions.join(windows, on)
        draws = draws.mutate(_attempt=ibis.range(0, self.num_draws).unnest())
        key = ROW.of(draws), POSITION.of(draws), column(draws, "_attempt")
        nth = _scaled(chance(*key, ibis.literal(1)), column(draws, "_count"))
        draws = draws.mutate(_wanted=column(draws, "_first") + nth)
        draws = draws.select(ROW, "_target", POSITION, "_attempt", "_known", "_wanted")
        # The item was clicked, and so was the other one, before the day begins.
        same = self.occurrences.select(
            _same="_item",
            _nth="_nth",
            _session_day=DAY,
            _session="_number",
            _session_length=LENGTH,
            _stood=POSITION,
            _same_day="_click_day",
        )
        met = draws.join(same, [column(draws, "_known") == same["_same"], column(draws, "_wanted") == same["_nth"]])
        met = met.filter(column(met, "_same_day") < column(met, "_target"))
        key = ROW.of(met), POSITION.of(met), column(met, "_attempt")
        length = column(met, "_session_length")
        step = 1 + _scaled(chance(*key, ibis.literal(2)), length - 1)
        met = met.mutate(_place=(column(met, "_stood") + step) % length)
        other = self.clicks.select(DAY, "_number", _place_of_other=POSITION, _drawn="_item", _drawn_day="_click_day")
        pairs = met.join(
            other,
            [
                column(met, "_session_day") == other[DAY],
                column(met, "_session") == other["_number"],
                column(met, "_place") == other["_place_of_other"],
                column(other, "_drawn_day") < met["_target"],
            ],
        )
        return pairs.select(ROW, POSITION, "_attempt", "_drawn")


def _scaled(chance: Expression, number: Expression) -> Expression:
    """Turn a chance into a whole number below `number`, each as likely."""
    return (chance.cast("float64") * number / CHANCES).floor().cast("int64")


def _units_a_day(recipe: Recipe) -> int:
    return times.MILLISECONDS["day"] // times.MILLISECONDS[recipe.time_unit]
