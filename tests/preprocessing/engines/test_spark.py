"""Every test here compares Spark with DuckDB, the plain twin; it starts Spark once."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.dialect import FILE, Dialect
from transformers4recsys.preprocessing.engines import spark as spark_engine
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.table import DatabaseChoice
from transformers4recsys.preprocessing.recipe import NEG_STRATEGIES
from transformers4recsys.preprocessing.run import LogSettings, preprocess
from transformers4recsys.preprocessing.staging import WRITING
from transformers4recsys.preprocessing.steps import events, negatives

pyspark_sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: pip install '.[spark]'")
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not shutil.which("java"), reason="Java, which Spark runs on, is not installed"),
]


@pytest.fixture(scope="module", autouse=True)
def session(tmp_path_factory):
    """An active session, which the engine takes as it is and leaves running."""
    settings = {
        # A path without a scheme finds nothing.
        "spark.hadoop.fs.defaultFS": "hdfs://nowhere:1",
        "spark.sql.warehouse.dir": tmp_path_factory.mktemp("warehouse").as_uri(),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "America/New_York",
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session = pyspark_sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether names, types and values agree; the name that parquet gives to a list's elements does not count."""
    types = [[(f.name, str(f.type).replace("<item:", "<element:")) for f in table.schema] for table in (one, other)]
    return types[0] == types[1] and one.to_pylist() == other.to_pylist()


def contents(output: Path) -> dict[str, pa.Table]:
    """Tables by path; a folder of parts is one table, as for `train`."""
    paths = [path for path in sorted(output.rglob("*.parquet")) if path.parent.suffix != ".parquet"]
    return {str(path.relative_to(output)): pq.ParquetDataset(path, partitioning=None).read() for path in paths}


def both(folder: Path, log: Path, recipe) -> None:
    """Run both engines on a log, each on its own output, and compare all that they have written."""
    outputs = [folder / engine for engine in ("duckdb", "spark")]
    calls = [preprocess(LogSettings(log, output), recipe, DatabaseChoice(engine=output.name)) for output in outputs]
    assert calls[0] == calls[1]
    assert all((outputs[0] / name).read_text() == (outputs[1] / name).read_text() for name in TEXTS)
    one, other = map(contents, outputs)
    assert one.keys() == other.keys() and len(one) > 3
    assert [name for name in one if not same(one[name], other[name])] == []


TEXTS = ("features.yaml", "preprocessing.json")


def test_days_with_past_and_one_more_day_in_a_second_call(
    tmp_path, session, shop, random_log, write_events, monkeypatch
):
    monkeypatch.setattr(spark_engine.Spark, "events_at_a_time", 120)
    log = random_log(1)
    first = [event for event in log if event["time"] is None or event["time"].day < 8]
    both(tmp_path, write_events(first, tmp_path / "logs" / "a.parquet"), shop)
    stats = {path: path.stat().st_mtime_ns for path in (tmp_path / "spark").rglob("session_start_date=*/*")}
    both(tmp_path, write_events(log, tmp_path / "logs" / "a.parquet"), shop)
    assert stats and {path: path.stat().st_mtime_ns for path in stats} == stats
    assert not list((tmp_path / "spark").glob(".preprocess-*"))
    assert session.conf.get("spark.sql.session.timeZone") == "America/New_York"


def test_pauses_make_sessions_and_there_is_no_past(tmp_path, shop, random_log, write_events):
    recipe = replace(shop, session_column=None, past_length_max=0, drop_repeats="all", session_gap_minutes=10)
    both(tmp_path, write_events(random_log(2), tmp_path / "logs" / "a.parquet"), recipe)


@pytest.mark.parametrize("strategy", NEG_STRATEGIES)
def test_negatives(tmp_path, recipe, random_log, write_events, strategy):
    log = [row for seed in range(3) for row in random_log(seed)]
    drawing = recipe(neg_samples=3, neg_strategy=strategy, neg_window_days=2, allow_long_sessions=True)
    both(tmp_path, write_events(log, tmp_path / "logs" / "a.parquet"), drawing)
    rows = contents(tmp_path / "spark")["session_start_date=2024-01-07-train.parquet"].to_pylist()
    assert all(any(row["_neg_item_id"]) for row in rows)


def test_negatives_in_bundles_and_parts_and_a_second_call(tmp_path, recipe, random_log, write_events, monkeypatch):
    for engine in (DuckDB, spark_engine.Spark):
        monkeypatch.setattr(engine, "events_at_a_time", 1)
    monkeypatch.setattr(negatives, "DRAWS_AT_A_TIME", 1000)
    drawing = recipe(neg_samples=2, neg_strategy="session_cooccurrence", neg_window_days=1, fit_days=1)
    log = [row for row in random_log(5) if row["time"]]
    for last_day in (6, 7):
        known = [row for row in log if row["time"].day <= last_day]
        both(tmp_path, write_events(known, tmp_path / "logs" / "a.parquet"), drawing)


def test_days_are_in_order_over_all_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(spark_engine.Spark, "rows_a_part", 50)
    spark = spark_engine.Spark(tmp_path / "kept")
    settings = {
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        "spark.sql.files.maxPartitionBytes": "2000",
        "spark.sql.files.openCostInBytes": "0",
    }
    for name, value in settings.items():  # many small parts
        spark._session.conf.set(name, value)
    items = ibis.range(1000).unnest().name("item").as_table().mutate(item=ibis._["item"] * 7919 % 1000)
    row = (3 + items["item"] // 600) * 1_000_000_000 + items["item"]
    half = (items["item"] % 2 == 0).ifelse("valid", "test")
    made = spark.keep("events", items.mutate(_row=row, _at=0, _half=half))
    days = tmp_path / "days"
    files = {(day, split): days / f"{day}-{split}" for day in (3, 4, 5) for split in ("train", "valid", "test")}
    spark.write_days(made.select("_row", "_half"), made, ["item"], files, {"_half": "_part", "item": "_day_of_row"})
    # Nothing else is left, and what is renamed was in the same file system.
    assert {path for path in days.iterdir()} == set(files.values())
    assert {path.name[:5] for path in (tmp_path / "kept").iterdir()} == {"kept-"}
    found = {}
    for key, path in files.items():
        assert (path / "_SUCCESS").exists()
        parts = [pq.read_table(part, partitioning=None) for part in sorted(path.glob("*.parquet"))]
        # Fifty rows a part: 12 parts of day 3, 8 of day 4, and an empty one of day 5.
        assert len(parts) == {3: 12, 4: 8, 5: 1}[key[0]]
        found[key] = [value for part in parts for [value] in part["_day_of_row"].to_pylist()]
    bounds = {3: (0, 600), 4: (600, 1000), 5: (0, 0)}
    assert found == {
        (day, split): list(range(bounds[day][0] + (split == "test"), bounds[day][1], 1 if split == "train" else 2))
        for day, split in files
    }


def test_a_split_of_sequences(tmp_path, shop, random_log, write_events):
    recipe = replace(shop, session_column=None, split="leave_one_out", k_core=2, train_length_max=3)
    both(tmp_path, write_events(random_log(3), tmp_path / "logs" / "a.parquet"), recipe)


def test_csv_files_with_columns_in_another_order(tmp_path, recipe):
    (tmp_path / "logs").mkdir()
    times = [f"2024-01-05 10:00:0{i}.5" for i in range(4)]
    one = "visit,time,product\n" + "".join(f'007,{time},"é,{i}"\n' for i, time in enumerate(times))
    other = "product,visit,time\n" + "".join(
        f"x,{i // 2},{time}\n,{i},{time}\ny,{i // 2},{time}\n" for i, time in enumerate(times)
    )
    (tmp_path / "logs" / "1.csv").write_text(one, encoding="utf-8")
    (tmp_path / "logs" / "2.csv").write_text(other, encoding="utf-8")
    both(tmp_path, tmp_path / "logs", recipe())


def test_missing_is_missing_in_text(tmp_path, recipe):
    values = ["x", "", " \t\n\r\v\f", "\f", "\v NULL", " NULL\n", "\\N", "NA", "null", "No", "x NULL", None]
    path = tmp_path / "a.parquet"
    count = len(values)
    pq.write_table(pa.table({"product": values, "visit": ["a"] * count, "time": ["2024-01-05"] * count}), path)
    for engine in (DuckDB, spark_engine.Spark):
        database = engine(tmp_path)
        raw = database.read("parquet", [str(path)])
        found = [row["item_id"] for row in database.rows(events.standard_columns(raw, recipe()))]
        assert found == ["x", *[None] * 6, "NA", "null", "No", "x NULL", None]


VISITS = Dialect(",", '"', ("visit", "product"), has_header=True)
MALFORMED = {
    "csv": "visit,product\n" + "1,x\n" * 50 + "1\n" + "1,y\n" * 50,
    "json": '{"visit": "1", "product": "x"}\n{"visit": "1", "prod\n',
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("engine", [DuckDB, spark_engine.Spark])
def test_a_malformed_row_is_refused(tmp_path, kind, engine):
    path = tmp_path / f"a.{kind}"
    path.write_text(MALFORMED[kind])
    database = engine(tmp_path)
    with pytest.raises(InputError, match="a file cannot be read"):
        given = {"dialect": VISITS} if kind == "csv" else {"columns": ["product"]}
        table = database.read(kind, [str(path)], **given)
        database.rows(table.agg(count=table["product"].count()))


def test_columns_of_two_types_are_refused(tmp_path):
    for name, value in (("a", 1), ("b", "x")):
        pq.write_table(pa.table({"product": [value]}), tmp_path / f"{name}.parquet")
    database = spark_engine.Spark(tmp_path)
    with pytest.raises(InputError, match="a file cannot be read"):
        database.read("parquet", [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")])


def test_times_in_nanoseconds_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"time": pa.array([1], pa.timestamp("ns"))}), path)
    database = spark_engine.Spark(tmp_path)
    with pytest.raises(InputError, match="a file cannot be read"):
        database.rows(database.read("parquet", [str(path)]))


def test_names_of_files_are_taken_as_they_are(tmp_path):
    path = tmp_path / "a b%20é.csv"
    path.write_text("product\nx\n")
    database = spark_engine.Spark(tmp_path)
    read = database.read("csv", [str(path)], dialect=Dialect(",", '"', ("product",), has_header=True), has_file=True)
    assert database.rows(read) == [{"product": "x", FILE: str(path)}]


def test_a_killed_call_leaves_no_half_written_day(tmp_path, recipe, write_events, kill_while_writing):
    day = [{"visit": "w", "time": datetime(2024, 1, 9, 1, i), "product": f"n{i}"} for i in range(3)]
    log = write_events(day, tmp_path / "logs" / "a.parquet")
    kill_while_writing(log, tmp_path / "days", engine="spark")
    assert (tmp_path / "days" / WRITING).is_dir() and not list((tmp_path / "days").glob("session*"))
    assert preprocess(LogSettings(log, tmp_path / "days"), recipe(), DatabaseChoice(engine="spark"))["days"] == [
        "2024-01-09"
    ]
    assert not (tmp_path / "days" / WRITING).exists()


STARTED = """
import sys
from pathlib import Path
from transformers4recsys.preprocessing.engines.spark import Spark

spark = Spark(Path(sys.argv[1]))
names = ("spark.master", "spark.sql.shuffle.partitions", "spark.ui.enabled")
print([spark._session.conf.get(name) for name in names])
"""


def test_what_spark_submit_says_stays(tmp_path):
    submit = "--master local[1] --conf spark.sql.shuffle.partitions=3 pyspark-shell"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "codes"), "PYSPARK_SUBMIT_ARGS": submit}
    command = [sys.executable, "-c", STARTED, str(tmp_path)]
    ended = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "['local[1]', '3', 'false']"


def test_times_of_another_format_are_named(tmp_path, recipe):
    log = tmp_path / "log.csv"
    log.write_text("visit,product,time\na,x,10/03/2024 10:00:00\na,y,10/03/2024 10:01:00\n")
    with pytest.raises(InputError, match="row 1: column time holds '10/03/2024 10:00:00', which is not a time"):
        preprocess(LogSettings(log, tmp_path / "days"), recipe(time_format="%Y/%m/%d"), DatabaseChoice(engine="spark"))


@pytest.mark.parametrize(
    ("time_format", "pattern"),
    [
        ("%d/%m/%Y %H:%M:%S", "dd/MM/yyyy HH:mm:ss"),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSZ"),
        ("%-d %b %y, %I o'clock %p", "d MMM yy, hh 'o''clock' a"),
    ],
)
def test_formats_are_patterns_of_java(time_format, pattern):
    assert spark_engine.java_pattern(time_format) == pattern


def test_a_format_that_spark_does_not_read_is_named():
    with pytest.raises(InputError, match="`engine` spark does not read %c, %U; it reads .*%H"):
        spark_engine.java_pattern("%c %U %H")


def test_without_pyspark_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(InputError, match=r"pyspark is not installed; pip install 'transformers4recsys\[spark\]'"):
        spark_engine.Spark(tmp_path)
