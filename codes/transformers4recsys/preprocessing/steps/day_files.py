"""Sessions become rows of lists, and rows become the three parquet files of each day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ibis
from ibis.expr import types as ir

from transformers4recsys.day_format import EVAL_SPLITS, SPLITS, TEST, VALID, file_name
from transformers4recsys.preprocessing import times
from transformers4recsys.preprocessing.columns import (
    DAY,
    HALF,
    LENGTH,
    POSITION,
    ROW,
    SESSION_ID,
    STAGE,
    START,
    TARGET,
    TEST_FROM,
    USER,
    VALID_FROM,
    step,
)
from transformers4recsys.preprocessing.engines.protocol import Database
from transformers4recsys.preprocessing.recipe import ITEM, Recipe
from transformers4recsys.preprocessing.steps.sessions import day_of_row
from transformers4recsys.preprocessing.tables import Kept


@step(needs=(ROW, POSITION), gives=(ROW, LENGTH, SESSION_ID, START, HALF), is_new_table=True)
def as_rows(events: ir.Table, starts: ir.Table) -> ir.Table:
    """Give each session's row: _row, _length, _user (that of the first event), what `starts` says, and `_half`.

    With `_stage` (see `splits`): how many events come before the first to validate on, and the first to test on.
    """
    whole: dict[str, ir.Value] = {LENGTH: events.count()}
    if USER in events.columns:
        whole[USER] = USER.of(events).max(where=POSITION.of(events) == 0)
    if STAGE in events.columns:
        whole |= {name: (STAGE.of(events) < stage).sum() for stage, name in ((1, VALID_FROM), (2, TEST_FROM))}
    rows = events.group_by(ROW).agg(**whole)
    rows = rows.join(starts, ROW).select(*rows.columns, SESSION_ID, START)
    digit = SESSION_ID.of(rows).cast("string").hexdigest("md5").substr(0, 1)
    # MD5 is the same on every engine and in every run.
    return rows.mutate(**{HALF: digit.isin(list("01234567")).ifelse(VALID, TEST)})


def halves(rows: ir.Table) -> ir.Table:
    """Count the sessions of each day, all and by half."""
    counts = {f"{half}_sessions": (HALF.of(rows) == half).sum() for half in EVAL_SPLITS}
    return rows.group_by(day=day_of_row(rows)).agg(sessions=ibis._.count(), **counts)


def files_of(folder: Path, labels: Mapping[int, str]) -> dict[tuple[int, str], Path]:
    """Name the files of each day in `labels`: all its sessions are written as train, and each as valid or as test."""
    return {(day, split): folder / file_name(label, split) for day, label in labels.items() for split in SPLITS}


def laid_out(database: Database, rows: ir.Table, names: Mapping[str, str]) -> ir.Table:
    """Put rows of `Database.with_lists` in the order of the files: by start and key, then by `_target`, if any."""
    in_order = rows if database.keeps_order else rows.order_by([ROW, *({TARGET} & set(rows.columns))])
    return in_order.select(**{output: in_order[name] for name, output in names.items()})


def read(database: Database, output: Path, days: Sequence[str], split: str, recipe: Recipe) -> ir.Table:
    """Keep the rows of one split's files of all days, with `_day`, that in the file's name.

    Columns session_id, session_start, user_id (null if unknown), item_id and event_time.
    """
    own = {name: recipe.output_name(name) for name in ("session_id", "session_start", "user_id", ITEM, "event_time")}
    missing = ibis.null("int64")
    files = {day: path for day in days if (path := output / file_name(day, split)).exists()}
    kept = []
    for day, path in files.items():
        table = database.read("parquet", [str(path)])
        columns = {name: table[output] if output in table.columns else missing for name, output in own.items()}
        day_of_file = ibis.literal(times.day_number(day, recipe.time_unit, flag=path.name), type="int64")
        kept.append(database.append(Kept.SPLIT_SESSIONS.of(split), table.select(**columns, **{DAY: day_of_file})))
    return kept[-1]
