"""Day files behind s3:// (a real server on this machine) and file:// are found, checked, read and trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from transformers4recsys.data.checks import check_files
from transformers4recsys.data.days import day_files
from transformers4recsys.data.readers.library import Reading
from transformers4recsys.data.readers.pyarrow import DayReader
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

DAY = datetime(2019, 10, 1)


@pytest.fixture(scope="module")
def s3_options() -> Iterator[str]:
    """Start an S3 server and give the options of a URI that lead to it."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield f"endpoint_override=http://{host}:{port}&region=us-east-1&allow_bucket_creation=true"
    server.stop()


@pytest.fixture(params=["s3", "file"])
def remote_days(request, toy_days: Path, s3_options: str) -> str:
    """Put the toy days behind a URI; the training file of the first day is a folder of two parts."""
    first = toy_days / "session_start_date=2019-10-01-train.parquet"
    part = first.rename(toy_days / "part-00000.parquet")
    first.mkdir()
    part.rename(first / part.name)
    (first / "part-00001.parquet").write_bytes((first / part.name).read_bytes())
    (first / "_SUCCESS").touch()
    if request.param == "file":
        return toy_days.as_uri()
    uri = f"s3://shop/some/days?{s3_options}"
    file_system, folder = fs.FileSystem.from_uri(uri)
    if file_system.get_file_info("shop").type == fs.FileType.Directory:
        file_system.delete_dir_contents("shop")
    file_system.create_dir(folder)
    fs.copy_files(str(toy_days), folder, source_filesystem=fs.LocalFileSystem(), destination_filesystem=file_system)
    return uri


@pytest.fixture
def days_schema(toy_days: Path) -> Schema:
    return Schema.from_file(toy_days / "features.yaml")


def items_of(files: list[str], schema: Schema, **settings: object) -> list[int]:
    reader = DayReader(files, schema=schema, batch_size=16, session_length_max=20, day=DAY, **settings)
    return [item for batch in reader.batches(0) for item in batch.columns["item_id"].values.tolist()]


def test_files_and_parts_behind_a_uri_read_as_local_ones(remote_days: str, toy_days: Path, days_schema: Schema):
    days = day_files(remote_days, "2019-10-01", "2019-10-03")
    parts = days.files(DAY, "train")
    assert [part.partition("?")[0].rpartition("/")[2] for part in parts] == ["part-00000.parquet", "part-00001.parquet"]
    counts = check_files(days.all_files(), days_schema)
    assert len(counts) == 5 and counts[parts[0]].num_rows == 60
    local = day_files(str(toy_days), "2019-10-01", "2019-10-03").files(DAY, "train")
    expected = items_of(local, days_schema)
    assert len(expected) > 400
    for memory_bytes in (10**9, 10_000, 300):
        assert items_of(parts, days_schema, memory_bytes=memory_bytes, reading=Reading(workers_count=3)) == expected


def test_a_day_that_is_missing_behind_a_uri_is_named(remote_days: str):
    with pytest.raises(InputError, match="session_start_date=2019-10-05-valid.parquet"):
        day_files(remote_days, "2019-10-03", "2019-10-05")


def test_training_runs_from_a_uri(remote_days: str, run_train):
    local, remote = run_train("local"), run_train("remote", data_path=remote_days)
    results = [(folder / "eval_results_avg_over_days.txt").read_text() for folder in (local, remote)]
    losses = [[line for line in text.splitlines() if line.startswith("eval_loss")] for text in results]
    assert losses[0] == losses[1] != []


def test_keys_in_a_uri_are_written_nowhere(remote_days: str, run_train):
    days = remote_days.replace("s3://", "s3://a_name:a_secret@")
    folder = run_train(data_path=days, end_date="2019-10-02")
    for file in folder.rglob("*"):
        assert file.is_dir() or b"a_secret" not in file.read_bytes(), file
    masked = days.replace("a_name:a_secret", "***")
    assert json.loads((folder / "config.json").read_text())["data"]["data_path"] == masked


def test_a_bucket_that_is_not_there(s3_options: str):
    with pytest.raises(InputError, match="s3://none/days.* is not a folder"):
        day_files(f"s3://none/days?{s3_options}", "2019-10-01", "2019-10-02")
