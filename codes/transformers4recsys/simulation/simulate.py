"""Writes the raw click log of a made-up shop, a parquet file a day, in the columns of the REES46 log."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transformers4recsys.day_format import TIME_UNITS
from transformers4recsys.errors import InputError
from transformers4recsys.settings import check, required, setting
from transformers4recsys.simulation.shop import Clicks, Shop

DAY = TIME_UNITS["day"]
# Shares of views that a cart event follows, and of these that a purchase follows.
CART_SHARE, PURCHASE_SHARE = 0.06, 0.35
# Fewer products would leave categories without a choice.
FEWEST_ITEMS = 50


@dataclass(frozen=True)
class SimulateSettings:
    """Simulate: the raw click log of a made-up shop, a parquet file a day"""

    output: str | Path | None = setting(None, "folder of the log files")
    days: int = setting(15, "days", at_least=1)
    sessions_per_day: int = setting(10_000, "sessions that start on a day", at_least=1)
    items: int = setting(10_000, "products, those launched on later days among them", at_least=FEWEST_ITEMS)
    on_sale_at_start: float = setting(0.8, "share of the products on sale on the first day", above=0, at_most=1)
    launched_per_day: float = setting(
        0.01, "share of the products launched on each later day, until all are on sale", above=0, at_most=1
    )
    start_date: str = setting("2019-10-01", "first day, YYYY-MM-DD")
    seed: int = setting(0, "the same seed gives the same log", at_least=0)

    def __post_init__(self) -> None:
        check(self)

    def first_day(self) -> date:
        """Parse `start_date`; InputError where the days end behind the last possible date."""
        day = DAY.parse(self.start_date, "`start_date`").date()
        # The day after the last one is needed too: its midnight ends the last file.
        if (date.max - day).days < self.days:
            raise InputError(
                f"`start_date` {self.start_date} `days` {self.days}: dates end at {date.max}; start earlier"
            )
        return day


def simulate(
    settings: SimulateSettings, on_day: Callable[[str, int], None] = lambda day, num_events: None
) -> list[Path]:
    """Write files named YYYY-MM-DD.parquet; memory is bounded by one day.

    A file holds the events of its day by time (UTC); a session that runs past midnight goes on in the next
    file. The same seed gives the same files, and fewer days give the first of them. `on_day` is called with the
    date and the number of events of each.
    """
    required(settings, "output")
    first_day = settings.first_day()
    paths = _paths(Path(settings.output or "").expanduser(), first_day, settings.days)
    shop = Shop(
        num_products=settings.items,
        sessions_per_day=settings.sessions_per_day,
        seed=settings.seed,
        on_sale_at_start=settings.on_sale_at_start,
        launched_per_day=settings.launched_per_day,
    )
    after_midnight: pa.Table | None = None
    for number, path in enumerate(paths):
        day = first_day + timedelta(days=number)
        events = event_table(shop, shop.clicks(number), number, day)
        if after_midnight is not None:
            events = pa.concat_tables([after_midnight, events])
        events = events.sort_by("event_time")
        midnight = pa.scalar(datetime(day.year, day.month, day.day) + timedelta(days=1), pa.timestamp("s")).cast(
            events.schema.field("event_time").type
        )
        is_today = pc.field("event_time") < midnight
        after_midnight = events.filter(~is_today)
        today = events.filter(is_today)
        _write_whole(today, path)
        on_day(str(day), today.num_rows)
    return paths


def event_table(shop: Shop, clicks: Clicks, number: int, day: date) -> pa.Table:
    """Turn clicks into log lines: every click is a view, and some are followed by a cart or purchase event."""
    generator = np.random.default_rng([shop.seed, 3, number])
    is_carted = generator.random(len(clicks.product)) < CART_SHARE
    is_bought = is_carted & (generator.random(len(clicks.product)) < PURCHASE_SHARE)
    rows = np.concatenate([np.arange(len(clicks.product)), np.flatnonzero(is_carted), np.flatnonzero(is_bought)])
    kind = np.repeat([0, 1, 2], [len(clicks.product), is_carted.sum(), is_bought.sum()]).astype(np.int8)
    # A cart event comes at once and a purchase right after it: before the next view of most sessions.
    second = clicks.second[rows] + kind
    product, session = clicks.product[rows], clicks.session[rows]
    category = shop.category_I[product]
    midnight = (day - date(1970, 1, 1)).days * round(DAY.step.total_seconds())
    return pa.table(
        {
            "event_time": pa.array(midnight + second).cast(pa.timestamp("s", "UTC")),
            "event_type": pa.DictionaryArray.from_arrays(
                pa.array(kind), ["view", "cart", "purchase"]
            ).dictionary_decode(),
            "product_id": pa.array(shop.product_id_I[product]),
            "category_id": pa.array(shop.category_id_C[category]),
            "category_code": pa.array(shop.code_C, pa.string()).take(pa.array(category)),
            "brand": pa.array(shop.brand_I, pa.string()).take(pa.array(product)),
            "price": pa.array(shop.price_I[product]),
            "user_id": pa.array(shop.user_id_U[clicks.user_of_session[session]]),
            "user_session": uuids(generator, len(clicks.user_of_session)).take(pa.array(session)),
        }
    )


def uuids(generator: np.random.Generator, count: int) -> pa.Array:
    """Draw random session ids in the usual 8-4-4-4-12 hexadecimal form."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[generator.integers(0, 16, (count, 32))]
    text = np.full((count, 36), ord("-"), dtype=np.uint8)
    text[:, [place for place in range(36) if place not in (8, 13, 18, 23)]] = digits
    offsets = pa.py_buffer(np.arange(0, 36 * (count + 1), 36, dtype=np.int32))
    return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(text))


def _paths(folder: Path, first_day: date, days: int) -> list[Path]:
    """Name the day files and make their folder; another log in it would be read as part of this one."""
    paths = [folder / f"{first_day + timedelta(days=number)}.parquet" for number in range(days)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(path.name for path in set(folder.glob("[!.]*.parquet")) - set(paths))
    except OSError as error:
        raise InputError(f"`output` {folder}: {error.strerror}; give a folder that can be written to") from error
    if others:
        raise InputError(
            f"`output` {folder} holds other parquet files ({', '.join(others[:3])}{' ...' if others[3:] else ''}), "
            "which would be taken for days of this log; remove them or give another folder"
        )
    return paths


def _write_whole(events: pa.Table, path: Path) -> None:
    """Write aside, then rename: a run that is stopped leaves no file that is cut short."""
    aside = path.with_name(f".{path.name}")
    try:
        pq.write_table(events, aside)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise InputError(f"`output` {path}: {reason}; give a folder with room that can be written to") from error
