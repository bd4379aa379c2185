import os
import random

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.dialect import FILE, Dialect
from transformers4recsys.preprocessing.engines import duckdb as duckdb_engine
from transformers4recsys.preprocessing.engines.duckdb import DuckDB
from transformers4recsys.preprocessing.engines.protocol import Unreadable, lists_by_sorting


def csv_dialect(*columns, separator=",", has_header=True):
    return Dialect(separator, '"', columns, has_header)


def test_csv_ids_stay_text_and_empty_cells_are_missing(database, tmp_path):
    (tmp_path / "a.csv").write_text("visit,product\n007,\n7,é\n", encoding="utf-8")
    read = database.read("csv", [str(tmp_path / "a.csv")], dialect=csv_dialect("visit", "product"))
    assert database.rows(read.order_by("visit")) == [{"visit": "007", "product": None}, {"visit": "7", "product": "é"}]


def test_csv_may_have_no_header_and_a_separator_of_its_own(database, tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.dat").write_text(f"{number}::01::978300760\n")
    files = [str(tmp_path / f"{number}.dat") for number in (1, 2)]
    dialect = csv_dialect("user", "movie", "time", separator="::", has_header=False)
    read = database.read("csv", files, dialect=dialect, has_file=True)
    assert database.rows(read.order_by("user")) == [
        {"user": str(number), "movie": "01", "time": "978300760", FILE: files[number - 1]} for number in (1, 2)
    ]


def test_a_row_of_too_few_columns_is_an_error_with_file_and_line(database, tmp_path):
    (tmp_path / "a.csv").write_text("1,2,3\n3,4\n")
    read = database.read("csv", [str(tmp_path / "a.csv")], dialect=csv_dialect("a", "b", "c", has_header=False))
    with pytest.raises(Unreadable, match=r"a\.csv.*Line: 2"):
        database.rows(read.select("a"))


def test_json_lines_give_the_columns_asked_for_as_text(database, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"n": 12345678901234567890, "more": [1]}\n{"id": "x", "n": null}\n')
    read = database.read("json", [str(tmp_path / "a.jsonl")], columns=["id", "n"])
    assert database.rows(read.order_by("id")) == [{"id": "x", "n": None}, {"id": None, "n": "12345678901234567890"}]


def test_files_are_joined_by_column_name(database, tmp_path):
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": [2]}), tmp_path / "2.parquet")
    read = database.read("parquet", [str(tmp_path / "1.parquet"), str(tmp_path / "2.parquet")])
    assert database.rows(read.order_by("a")) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_whole_numbers_keep_all_their_digits(database, tmp_path):
    pq.write_table(pa.table({"a": [2**53 + 1]}), tmp_path / "1.parquet")
    assert database.rows(database.read("parquet", [str(tmp_path / "1.parquet")])) == [{"a": 2**53 + 1}]


def test_kept_tables_can_be_kept_anew_and_added_to(database, table):
    assert database.find("x") is None
    database.append("x", table(a=[1]))
    database.append("x", table(a=[2]))
    assert sorted(row["a"] for row in database.rows(database.find("x"))) == [1, 2]
    database.keep("x", table(a=[3]))
    assert database.rows(database.find("x")) == [{"a": 3}]


def test_a_table_is_written_in_its_order(database, table, tmp_path):
    made = table(a=[(i * 7919) % 10_007 for i in range(10_007)])
    database.write({tmp_path / "a.parquet": made.order_by("a")})
    assert pq.read_table(tmp_path / "a.parquet")["a"].to_pylist() == list(range(10_007))


def test_many_rows_are_written_in_their_order_by_several_threads(tmp_path):
    database = DuckDB(tmp_path, memory_limit="500MB", threads=2)
    numbers = ibis.range(0, 2_000_000).unnest().name("a").as_table()
    kept = database.keep("numbers", numbers.mutate(half=numbers["a"] % 2).order_by("a"))
    database.write({tmp_path / "a.parquet": kept.filter(kept["half"] == 0).select("a")})
    database.close()
    assert pq.read_table(tmp_path / "a.parquet")["a"].to_numpy().tolist() == list(range(0, 2_000_000, 2))


@pytest.mark.parametrize("longest", [1, 7, 250])
def test_lists_are_those_of_the_plain_way_in_order_of_the_rows(database, table, monkeypatch, longest):
    # Batches end within rows, and rows go on over several.
    monkeypatch.setattr(duckdb_engine, "BATCH_SIZE", 100)
    draw = random.Random(longest)
    lengths = [draw.randrange(1, longest + 1) for _ in range(1000 // longest)]
    events = [(row * 10, at) for row, length in enumerate(lengths) for at in range(length)]
    draw.shuffle(events)
    rows = table(_row=[row * 10 for row in draw.sample(range(len(lengths)), len(lengths))], user=["é"] * len(lengths))
    items = [None if row == 10 else row + at for row, at in events]
    made = table(_row=[row for row, _ in events], _at=[at for _, at in events], item=items)
    found = database.rows(database.with_lists("lists", rows, made, ["item"]))
    assert found == sorted(database.rows(lists_by_sorting(rows, made, ["item"])), key=lambda row: row["_row"])
    assert [len(row["item"]) for row in found] == lengths


def test_lists_are_cut_into_the_own_events_and_the_past_as_in_the_plain_way(database, table):
    rows = table(_row=[1, 2, 3], _length=[2, 1, 2])
    made = table(_row=[3, 1, 1, 1, 1, 2, 3], _at=[1, 3, 0, 1, 2, 0, 0], item=[31, 13, 10, 11, 12, 20, 30])
    cut = [
        {"_row": 1, "_length": 2, "item": [12, 13], "bef_item": [11]},
        {"_row": 2, "_length": 1, "item": [20], "bef_item": []},
        {"_row": 3, "_length": 2, "item": [30, 31], "bef_item": []},
    ]
    assert database.rows(database.with_lists("lists", rows, made, ["item"], history=1)) == cut
    plain = database.rows(lists_by_sorting(rows, made, ["item"], history=1))
    assert sorted(plain, key=lambda row: row["_row"]) == cut


def test_days_without_rows_are_written_as_well(database, table, tmp_path):
    starts = table(_row=[3_000_000_001, 3_000_000_000], _half=["valid", "test"])
    made = table(_row=[3_000_000_000, 3_000_000_001], _at=[0, 0], item=[7, 8])
    files = {(day, split): tmp_path / f"{day}-{split}" for day in (3, 4) for split in ("train", "valid", "test")}
    database.write_days(starts, made, ["item"], files, {"_row": "a", "item": "b"})
    found = {key: pq.read_table(path)["b"].to_pylist() for key, path in files.items()}
    empty = {(4, split): [] for split in ("train", "valid", "test")}
    assert found == {(3, "train"): [[7], [8]], (3, "valid"): [[8]], (3, "test"): [[7]]} | empty


def test_without_events_there_are_no_rows_with_lists(database, table):
    rows, events = table(_row=[1]), table(_row=[1], _at=[0], item=[2])
    empty = database.with_lists("lists", rows.limit(0), events.limit(0), ["item"])
    assert empty.columns == ("_row", "item") and database.rows(empty) == []


def test_a_disk_that_fails_while_lists_are_made_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(duckdb_engine, "BATCH_SIZE", 10_000)
    database = DuckDB(tmp_path, memory_limit="40MB", threads=1)
    numbers = ibis.range(0, 1_000_000).unnest().name("_at").as_table()
    events = numbers.mutate(_row=(numbers["_at"] % 1000).cast("int64"), item=numbers["_at"].cast("string") * 5)
    rows, keep = database.keep("rows", events.select("_row").distinct()), database.keep

    def keep_and_lose_what_was_spilled(name, table):
        for path in (tmp_path / "spill").iterdir():
            os.truncate(path, 0)
        return keep(name, table)

    monkeypatch.setattr(database, "keep", keep_and_lose_what_was_spilled)
    with pytest.raises(InputError, match="a file cannot be read or written: IO Error"):
        database.with_lists("lists", rows, events, ["item"])
    database.close()


def test_a_file_that_is_no_parquet_is_named(database, tmp_path):
    (tmp_path / "broken.parquet").write_text("no parquet at all")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        database.rows(database.read("parquet", [str(tmp_path / "broken.parquet")]))


def test_a_memory_limit_that_is_none_is_an_error(tmp_path):
    with pytest.raises(InputError, match="`memory_limit` 'much': expected a size"):
        DuckDB(tmp_path, memory_limit="much")


def test_a_large_table_comes_in_parts(database, table):
    numbers = table(n=list(range(10)))
    parts = [batch["n"].to_pylist() for batch in database.batches(numbers.order_by("n"), 4)]
    assert sum(parts, []) == list(range(10)) and len(parts) > 1


def test_a_full_disk_is_said_in_plain_words(tmp_path, monkeypatch):
    def fails(*_):
        raise duckdb.IOException(
            'IO Error: Async write failed for range [offset=4, size=9]: {"exception_type":"IO","exception_message":'
            '"Could not write file \\"days/a.parquet\\": No space left on device","errno":"28"}'
        )

    monkeypatch.setattr("transformers4recsys.preprocessing.engines.duckdb._copy", fails)
    database = DuckDB(tmp_path, memory_limit="500MB", threads=2)
    table = database.keep("numbers", ibis.memtable({"number": [1]}))
    with pytest.raises(InputError) as error:
        database.write({tmp_path / "a.parquet": table})
    said = "the disk is full: days/a.parquet cannot be written; free space on it, or choose another `output`"
    assert str(error.value) == said
