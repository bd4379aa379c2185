"""Whole logs, from files as people have them to what is read, refused or told."""

import gzip
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import raw_log
from transformers4recsys.preprocessing.raw_files import raw_files
from transformers4recsys.preprocessing.steps import audit, events

HEAD = "visit,time,product\n"
ROW = "v{0},2024-01-05 10:00:{1:02},p{1}\n"
ROWS = "".join(ROW.format(i // 4, i % 60) for i in range(8))


@pytest.fixture
def read(database, tmp_path):
    """Read and audit a log; give its rows, and what was found."""

    def run(inputs, recipe):
        kind, files = raw_files(inputs, output=tmp_path / "days", file_format=recipe.file_format)
        log = raw_log.opened(kind, files, recipe, tmp_path / "scratch")
        raw = log.table(database)
        try:
            found = audit.audit(
                database,
                log,
                raw,
                recipe,
                lambda table: events.with_reason(table, recipe, written_before=None, first_day=None, last_day=None),
            )
        except raw_log.Unreadable as error:
            raise log.explained(error) from error
        return database.rows(raw.select("visit", "product").order_by("product")), found

    return run


@pytest.fixture
def write(tmp_path):
    def run(name, content):
        path = tmp_path / "logs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return run


def test_a_row_of_another_length_far_below_is_named_and_no_row_vanishes(write, read, recipe):
    lines = [f"s{i // 4},2024-01-05 10:00:00,i{i % 50}" + (",app" if i >= 1500 else "") for i in range(4000)]
    log = write("log.csv", "\n".join(lines))
    chosen = {"column_names": ["visit", "time", "product"]}
    with pytest.raises(InputError, match=r"log\.csv, line 1501: 4 values where 3 columns are expected"):
        read(log, recipe(**chosen))
    rows, found = read(log, recipe(**chosen, bad_lines="skip"))
    assert (len(rows), found.read, found.dropped) == (1500, 4000, {"broken_line": 2500})


def test_a_quote_in_a_value_far_below_is_no_error(write, read, recipe):
    rows = [f"s{i // 4},2024-01-05 10:00:00," + ('"a,""b"""' if i == 35_000 else "x") for i in range(40_000)]
    found = read(write("log.csv", HEAD + "\n".join(rows)), recipe())
    assert found[1].read == 40_000 and found[0][0] == {"visit": "s8750", "product": 'a,"b"'}


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (
            "\n(8 row(s) affected)\n",
            r"log\.csv, line 11: 1 values where 3 columns are expected.*'\(8 row\(s\) affected",
        ),
        ('v9,"2024-01-05,p\n', r"log\.csv, line 10: a value in quotes \(\"\) does not end"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(write, read, recipe, tail, message):
    with pytest.raises(InputError, match=message):
        read(write("log.csv", HEAD + ROWS + tail), recipe())
    _, found = read(write("log.csv", HEAD + ROWS + tail), recipe(bad_lines="skip"))
    assert (found.read, found.kept, found.dropped) == (9, 8, {"broken_line": 1})


def test_a_broken_line_of_json_is_named(write, read, recipe):
    line = '{"visit": "a", "time": "2024-01-05 10:00:00", "product": "x"}\n'
    log = write("log.jsonl", line + '{"visit": "a", "ti\n' + line)
    with pytest.raises(InputError, match=r"log\.jsonl, line 2: it is not JSON"):
        read(log, recipe())
    assert read(log, recipe(bad_lines="skip"))[1].dropped == {"broken_line": 1}


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ((HEAD + ROWS).replace(",", ";"), {}),
        ((HEAD + ROWS).replace(",", "::"), {"separator": "::"}),
        ((HEAD + ROWS).replace(",", "\t"), {"separator": r"\t"}),
        (HEAD + ROWS.replace("\n", "\r\n", 3), {}),
        (b"\xef\xbb\xbf" + (HEAD + ROWS).encode(), {}),
        ((HEAD + ROWS).encode("utf-16"), {}),
        (ROWS, {"column_names": ["visit", "time", "product"]}),
        ("note,note,,Visit,visit,time,product\n" + "".join(f"1,2,3,x,{row}" for row in ROWS.splitlines(True)), {}),
        ('"visit","time","product"\n' + ROWS, {}),
        ("'visit','time','product'\n" + ROWS.replace("v0", "'v0'"), {}),
    ],
)
def test_a_dialect_is_found_and_holds(write, read, recipe, content, settings):
    rows, found = read(write("log.csv", content), recipe(**settings))
    assert rows == [{"visit": f"v{i // 4}", "product": f"p{i}"} for i in range(8)]
    assert (found.read, found.kept) == (8, 8)


def test_the_dialect_is_told(write, read, recipe, caplog):
    caplog.set_level(logging.INFO)
    write("b.csv", HEAD + ROWS)
    read(write("a.csv", HEAD + ROWS).parent, recipe())
    assert "a.csv and 1 more: CSV, separator ',', quote \", with a header, utf-8, decimal sign '.'" in caplog.text


def test_another_encoding_is_read_where_it_is_given(write, read, recipe):
    log = write("log.csv", (HEAD + "v,2024-01-05 10:00:00,5 €\n").encode("cp1252"))
    with pytest.raises(InputError, match=r"log\.csv is not text in UTF-8: line 2 .*`encoding`, such as cp1252"):
        read(log, recipe())
    assert read(log, recipe(encoding="cp1252"))[0] == [{"visit": "v", "product": "5 €"}]


def test_files_are_joined_by_name_whatever_the_order_and_the_separator(write, read, recipe):
    write("a.csv", HEAD + "v,2024-01-05 10:00:00,p1\n")
    log = write("b.csv", "product;visit;time\np2;v;2024-01-05 10:00:01\n").parent
    assert [row["product"] for row in read(log, recipe())[0]] == ["p1", "p2"]
    write("c.csv", "product;visit\np3;v\n")
    with pytest.raises(
        InputError, match=r"`time_column`: .*c\.csv has no column time, which .*a\.csv and .*b\.csv have"
    ):
        read(log, recipe())


def test_parquet_files_of_other_types_are_refused_before_they_are_read(tmp_path, read, recipe):
    columns = {"visit": ["a"], "time": pa.array([0], pa.timestamp("us")), "product": [2**53 + 1]}
    (tmp_path / "logs").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "logs" / "a.parquet")
    pq.write_table(pa.table(columns | {"product": [1.0]}), tmp_path / "logs" / "b.parquet")
    with pytest.raises(InputError, match=r"whole numbers in .*a\.parquet and floats in .*b\.parquet"):
        read(tmp_path / "logs", recipe())


def test_an_empty_file_is_an_error(write, read, recipe):
    with pytest.raises(InputError, match=r"a\.csv is empty"):
        read(write("a.csv", ""), recipe())


def test_names_with_signs_of_patterns_are_names(write, read, recipe):
    assert len(read(write("log [1].csv", HEAD + ROWS).parent, recipe())[0]) == 8


@pytest.fixture(scope="module")
def bucket():
    """A store on this machine: the options of its URIs, and the store."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "any")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        options = f"endpoint_override=http://{host}:{port}&region=us-east-1&allow_bucket_creation=true"
        store, _ = fs.FileSystem.from_uri(f"s3://logs/x?{options}")
        store.create_dir("logs/deep")
        yield options, store
    server.stop()


def test_logs_in_a_store_are_read_as_those_here(bucket, write, read, recipe):
    options, store = bucket
    for name, content in (("deep/a.csv", HEAD + ROWS), ("b.csv.gz", HEAD), ("_x.csv", "x"), ("c.txt", "x")):
        with store.open_output_stream(f"logs/{name}", compression=None) as file:
            file.write(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    here = read(write("a.csv", HEAD + ROWS), recipe())
    for uri in ("s3://logs", "s3://logs/deep/*.csv", "s3://logs/deep/a.csv"):
        assert read(f"{uri}?{options}", recipe()) == here
    assert read(write("a.csv", HEAD + ROWS).as_uri(), recipe()) == here
    with pytest.raises(InputError, match="there is no such file or folder"):
        read(f"s3://logs/none?{options}", recipe())
    with pytest.raises(InputError, match=r"no file in this folder matches \*\.parquet"):
        read(f"s3://logs/*.parquet?{options}", recipe())
