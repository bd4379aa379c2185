"""A run folder is whole, of one day, and its own; anything else is named."""

import json
import os
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.run_files import Snapshot, publish
from transformers4recsys.run_folder import Progress, RunFolder, as_json, copied_contents, schema_as_json

SCALES = {"price": {"mean": 2.0, "std": 0.5}}


@pytest.fixture
def day_folder(tmp_path: Path) -> Path:
    """What `preprocess` puts beside the day files."""
    folder = tmp_path / "days"
    (folder / "vocabulary").mkdir(parents=True)
    vocabulary = pa.table(
        {
            "raw": ["sku-7", None],
            "id": pa.array([1, 2], pa.int64()),
            "first_seen": [datetime(2019, 10, 1, 8), datetime(2019, 10, 2)],
            "first_day": [date(2019, 10, 1), date(2019, 10, 2)],
            "count": pa.array([5, 1], pa.int64()),
        }
    )
    pq.write_table(vocabulary, folder / "vocabulary" / "item_id.parquet")
    pq.write_table(pa.table({"item_id": ["sku-7"], "id": [1], "price": [9.5]}), folder / "items.parquet")
    (folder / "preprocessing.json").write_text(json.dumps({"settings": {"item_column": "sku"}, "fitted": SCALES}))
    return folder


@pytest.fixture
def publish_day(tmp_path: Path, schema, day_folder):
    """Save a run in which everything says the number of its day."""

    def save(day: int) -> Path:
        contents = {
            "model.safetensors": safetensors.torch.save({"weight": torch.full((3,), float(day))}),
            "config.json": as_json({"model": {"d_model": day}}),
            "schema.json": as_json(schema_as_json(schema)),
            "progress.json": as_json({"last_day": f"2019-10-0{day}", "num_steps": day}),
        }
        publish(tmp_path / "run", contents | copied_contents(day_folder))
        return tmp_path / "run"

    return save


def test_all_that_was_saved_comes_back(publish_day, schema, day_folder):
    run = RunFolder.open(publish_day(1))
    assert torch.equal(run.weights()["weight"], torch.ones(3))
    assert run.schema == schema and run.progress == Progress("2019-10-01", 1)
    assert run.recipe == {"item_column": "sku"} and run.scales == SCALES
    assert run.vocabularies["item_id"].equals(pq.read_table(day_folder / "vocabulary" / "item_id.parquet"))
    assert run.item_table is not None and run.item_table["price"].to_pylist() == [9.5]
    assert not list(run.path.rglob(".*"))


def test_the_table_of_items_is_read_when_asked_for_and_is_still_that_of_its_run(publish_day, day_folder, monkeypatch):
    names, read = [], Snapshot.read
    monkeypatch.setattr(Snapshot, "read", lambda snapshot, name: names.append(name) or read(snapshot, name))
    run = RunFolder.open(publish_day(1))
    assert "items.parquet" not in names
    before = pq.read_table(day_folder / "items.parquet")
    pq.write_table(before.slice(0, 0), day_folder / "items.parquet")
    publish_day(2)
    for _ in range(2):
        assert run.item_table is not None and run.item_table.equals(before)
    assert names.count("items.parquet") == 1


def test_days_that_preprocess_did_not_make_have_no_recipe(tmp_path):
    assert copied_contents(tmp_path) == {}


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "vocabulary/item_id.parquet", "items.parquet", "preprocessing.json"]
)
def test_a_damaged_or_missing_file_is_named(name, publish_day):
    folder = publish_day(1)
    whole = (folder / name).read_bytes()
    for damaged, what in (
        (whole[:-1], f"{len(whole) - 1} bytes; manifest.json says {len(whole)}"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "another SHA-256 than manifest.json says"),
        (b"", "0 bytes"),
    ):
        (folder / name).write_bytes(damaged)
        with pytest.raises(InputError, match=f"run/{name} is not the file that this run wrote .{what}"):
            RunFolder.open(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"run/{name} is missing"):
        RunFolder.open(folder)


def test_files_of_another_run_are_named(publish_day, tmp_path):
    first = publish_day(1)
    first.rename(tmp_path / "first")
    folder = publish_day(2)
    (folder / "vocabulary" / "brand.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="brand.parquet does not belong to this run"):
        RunFolder.open(folder)
    (folder / "vocabulary" / "brand.parquet").unlink()
    os.replace(tmp_path / "first" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors is not the file that this run wrote .another SHA-256 than"):
        RunFolder.open(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 99, "files": {}}', "update the program"),
        ('{"format": 1, "files": {"../x": {"sha256": "", "bytes": 0}}}', "lies outside the folder"),
        ('{"format": 1, "files": {"/etc/passwd": {"sha256": "", "bytes": 0}}}', "lies outside the folder"),
        ('{"format": 1, "files": {}}', "does not list model.safetensors"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text, message, publish_day):
    folder = publish_day(1)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        RunFolder.open(folder)


def test_folders_without_a_run_and_of_older_versions_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="no finished day"):
        RunFolder.open(tmp_path / "nowhere")
    (tmp_path / "optimizer.pt").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(InputError, match="older version"):
        RunFolder.open(tmp_path)
