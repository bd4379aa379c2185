"""Paths and URIs lead to the same files, and what cannot be opened is said plainly."""

from __future__ import annotations

from pathlib import Path

import pytest

from transformers4recsys.data.parquet.files import (
    inside,
    is_local,
    locate,
    open_parquet,
    parquet_parts,
    redact_credentials,
)
from transformers4recsys.errors import InputError


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/data", "/data/a=1.parquet"),
        ("/data/", "/data/a=1.parquet"),
        ("s3://bucket/folder/", "s3://bucket/folder/a=1.parquet"),
        ("s3://bucket/folder?region=eu&scheme=http", "s3://bucket/folder/a=1.parquet?region=eu&scheme=http"),
    ],
)
def test_inside(folder: str, expected: str):
    assert inside(folder, "a=1.parquet") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://name:key@shop/days?region=eu", "s3://***@shop/days?region=eu"),
        ("hdfs://name@host:8020/days", "hdfs://***@host:8020/days"),
        ("s3://shop/a@b", "s3://shop/a@b"),
        ("s3://shop?endpoint_override=http://a@b", "s3://shop?endpoint_override=http://***@b"),
        ("s3://name:k/ey@shop/days", "s3://***@shop/days"),
        ("s3://name:123/key@shop/days", "s3://***@shop/days"),
        ("s3://name:k@ey@shop/days?a=b", "s3://***@shop/days?a=b"),
        ("hdfs://host:8020/a@b", "hdfs://host:8020/a@b"),
        ("s3://shop/days?access_key=me&region=eu", "s3://shop/days?access_key=***&region=eu"),
        ("s3://shop?region=eu&Session-Token=it", "s3://shop?region=eu&Session-Token=***"),
        ("no s3://a:b@shop/x nor gs://c@shop here", "no s3://***@shop/x nor gs://***@shop here"),
        ("/data/a@b", "/data/a@b"),
        ("name@host", "name@host"),
    ],
)
def test_redact_credentials(path: str, expected: str):
    assert redact_credentials(path) == expected


def test_names_with_odd_characters_survive_a_uri(tmp_path: Path):
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "100% day?.parquet").touch()
    (part,) = parquet_parts(folder.as_uri())
    file_system, path = locate(part)
    assert path == str(folder / "100% day?.parquet")
    assert file_system.get_file_info(path).is_file


def test_open_parquet_by_path_and_uri(write):
    path = write(items=[[1, 2], [3]])
    assert open_parquet(path).metadata.num_rows == 2
    assert open_parquet(Path(path).as_uri()).metadata.num_rows == 2


@pytest.mark.parametrize("uri", ["ftp://host/file", "hdfs://nowhere.invalid:1/file"])
def test_uris_that_lead_nowhere_are_refused(uri: str):
    with pytest.raises(InputError, match="cannot be opened.*s3://, gs://, hdfs:// or file://"):
        locate(uri)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="none.parquet cannot be opened: .*[Nn]o such file"):
        open_parquet(str(tmp_path / "none.parquet"))


def test_which_paths_are_local():
    assert [is_local(path) for path in ("~/days", "days", "file:///days", "s3://days", "hdfs://host/days")] == [
        *[True] * 3,
        *[False] * 2,
    ]
