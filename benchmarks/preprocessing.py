"""Speed of `preprocess` on each engine, beside plain polars and Spark scripts that make the sessions alone.

    python benchmarks/preprocessing.py --events 1 10 --runs polars duckdb spark

Millions of events of the simulated shop; every run is a process of its own, so that its peak memory is known.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import polars as pl

from transformers4recsys.preprocessing import pipeline
from transformers4recsys.preprocessing.engines.spark import Spark
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import read_recipe
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.steps import audit
from transformers4recsys.simulation.simulate import SimulateSettings, simulate

REPOSITORY = Path(__file__).parents[1]
RECIPE = REPOSITORY / "datasets" / "ecommerce-large" / "preprocessing.yaml"
DAYS, EVENTS_A_SESSION = 14, 4.73


def polars(log: Path, output: Path) -> dict[str, float]:
    """Sessions alone: item ids, repeats left out, the last 20 events, lists, one train file a day."""
    clicks = pl.read_parquet(log / "*.parquet", columns=["event_time", "product_id", "user_session", "price"])
    clicks = clicks.sort("user_session", "event_time", "product_id")
    is_repeat = (pl.col("product_id") == pl.col("product_id").shift()).over("user_session").fill_null(False)
    clicks = clicks.filter(~is_repeat)
    items = clicks["product_id"].unique(maintain_order=True)
    ids = pl.DataFrame({"product_id": items, "item_id": range(1, len(items) + 1)})
    clicks = clicks.join(ids, on="product_id", maintain_order="left")
    lists = clicks.group_by("user_session").agg(
        pl.col("item_id", "event_time", "price").tail(20), start=pl.col("event_time").first(), length=pl.len()
    )
    lists = lists.filter(pl.col("length") >= 2).sort("start")
    output.mkdir()
    for (day,), rows in lists.group_by(pl.col("start").dt.date(), maintain_order=True):
        rows.write_parquet(output / f"{day}.parquet")
    return {}


def plain_spark(log: Path, output: Path) -> dict[str, float]:
    """The same by Spark's own functions: what Spark takes for sessions alone."""
    from pyspark.sql import Window  # pyright: ignore[reportMissingImports]
    from pyspark.sql import functions as f  # pyright: ignore[reportMissingImports]

    output.mkdir()
    database = Spark(output)
    # A path without a scheme would be one of the cluster's default file system.
    log_uri, days_uri = (path.absolute().as_uri() for path in (log, output / "days"))
    clicks = database.session.read.parquet(log_uri).select("event_time", "product_id", "user_session", "price")
    in_order = Window.partitionBy("user_session").orderBy("event_time", "product_id")
    from_end = Window.partitionBy("user_session").orderBy(f.desc("event_time"), f.desc("product_id"))
    clicks = clicks.withColumn("before", f.lag("product_id").over(in_order))
    clicks = clicks.filter("before is null or before <> product_id")
    ids = clicks.select("product_id").distinct()
    ids = ids.withColumn("item_id", f.row_number().over(Window.orderBy("product_id")))
    clicks = clicks.join(f.broadcast(ids), "product_id").withColumn("from_end", f.row_number().over(from_end))
    of_event = f.when(f.col("from_end") <= 20, f.struct("event_time", "product_id", "item_id", "price"))
    lists = clicks.groupBy("user_session").agg(
        f.sort_array(f.collect_list(of_event)).alias("last"),
        f.min("event_time").alias("start"),
        f.count("*").alias("n"),
    )
    lists = lists.filter("n >= 2").withColumn("day", f.to_date("start"))
    lists = lists.select("user_session", "last.item_id", "last.event_time", "last.price", "start", "n", "day")
    lists.repartition("day").sortWithinPartitions("day", "start").write.partitionBy("day").parquet(days_uri)
    database.close()
    return {}


def duckdb(log: Path, output: Path) -> dict[str, float]:
    return _preprocess(log, output, "duckdb", history=20)


def duckdb_without_history(log: Path, output: Path) -> dict[str, float]:
    return _preprocess(log, output, "duckdb", history=0)


def spark(log: Path, output: Path) -> dict[str, float]:
    return _preprocess(log, output, "spark", history=20)


RUNS = {run.__name__: run for run in (polars, plain_spark, duckdb, duckdb_without_history, spark)}


def _preprocess(log: Path, output: Path, engine: str, *, history: int) -> dict[str, float]:
    """Run preprocess; give the seconds of reading with ids and sessions, of the features, and of lists and writing."""
    spent: dict[str, float] = defaultdict(float)
    settings, recipe = LogSettings((str(log),), str(output)), read_recipe(RECIPE, {"past_length_max": history})
    began = time.perf_counter()
    with (
        _timed(pipeline.Pipeline, "_identified", "read", spent),
        _timed(audit, "audit", "read", spent),
        _timed(pipeline.Pipeline, "_write_days", "write", spent),
    ):
        preprocess(settings, recipe, DatabaseChoice(engine=engine))
    return {**spent, "sessionise": time.perf_counter() - began - sum(spent.values())}


@contextmanager
def _timed(owner: object, name: str, part: str, spent: dict[str, float]) -> Iterator[None]:
    """Add up how long a function takes wherever it is called inside."""
    whole = getattr(owner, name)

    def timed(*arguments, **settings):
        began = time.perf_counter()
        try:
            return whole(*arguments, **settings)
        finally:
            spent[part] += time.perf_counter() - began

    with patch.object(owner, name, timed):
        yield


def _measured(run: str, log: Path, output: Path) -> None:
    """Print one run's seconds, CPU seconds, peak memory in GB, and its parts, as a line of JSON."""
    children: list[tuple[float, float]] = []
    whole = Spark.close

    def close(database: Spark) -> None:
        # Workers end with Spark, and nobody asks then what they have taken.
        children.append(_of_children())
        whole(database)

    began = time.perf_counter()
    with patch.object(Spark, "close", close):
        parts = RUNS[run](log, output)
    seconds = time.perf_counter() - began
    own, (cpu, gb) = resource.getrusage(resource.RUSAGE_SELF), (children or [(0, 0)])[0]
    found = {"seconds": seconds, "gb": own.ru_maxrss / 1e6 + gb, "cpu": own.ru_utime + own.ru_stime + cpu}
    sys.stdout.write(json.dumps(found | {"parts": parts}) + "\n")


def _of_children() -> tuple[float, float]:
    """Give CPU seconds and the sum of peak memories, in GB, of Java and the Python workers that Spark has started."""
    parents, used, peaks = {}, {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            number, numbers = int(process.name), (process / "stat").read_text().rpartition(")")[2].split()
            status = (process / "status").read_text().split()
            # With what children that have ended used.
            used[number] = sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")
            peaks[number] = int(status[status.index("VmHWM:") + 1]) / 1e6
            parents[number] = int(numbers[1])
    children, found = {os.getpid()}, set()
    while children:
        children = {number for number, parent in parents.items() if parent in children}
        found |= children
    return sum(used[number] for number in found), sum(peaks[number] for number in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=float, nargs="+", default=[1], help="millions of events")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=["polars", "duckdb"])
    parser.add_argument("--folder", type=Path, help="where logs and day files lie; deleted at the end")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run, log, output = arguments.one
        return _measured(run, Path(log), Path(output))
    sys.stdout.write("| events | run | seconds | CPU s | GB | events/s | read, ids | features | lists, write |\n")
    sys.stdout.write("|" + "---|" * 9 + "\n")
    for millions in arguments.events:
        with TemporaryDirectory(dir=arguments.folder) as folder:
            log = Path(folder) / "log"
            sessions = round(millions * 1e6 / DAYS / EVENTS_A_SESSION)
            counts: list[int] = []
            simulate(
                SimulateSettings(log, DAYS, sessions, items=max(1000, min(sessions, 100_000))),
                on_day=lambda _, number, counts=counts: counts.append(number),
            )
            for run in arguments.runs:
                _report(run, log, Path(folder) / run, sum(counts))


def _report(run: str, log: Path, output: Path, num_events: int) -> None:
    command = [sys.executable, __file__, "--one", run, str(log), str(output)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shares = [f"{found['parts'].get(part, 0) / found['seconds']:.0%}" for part in ("read", "sessionise", "write")]
    shares = shares if found["parts"] else ["", "", ""]
    cells = [f"{num_events:,}", run, f"{found['seconds']:.1f}", f"{found['cpu']:.0f}", f"{found['gb']:.2f}"]
    cells += [f"{num_events / found['seconds']:,.0f}", *shares]
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
