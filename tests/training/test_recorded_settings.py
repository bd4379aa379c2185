"""What config.json records is enough to start the same training again."""

import json
from pathlib import Path

import pytest

from transformers4recsys.commands.train import TrainSettings
from transformers4recsys.schema import Schema
from transformers4recsys.settings import changed, from_values
from transformers4recsys.training.recorded_settings import sections_of
from transformers4recsys.training.training_arguments import library_arguments

SCHEMA = Schema.from_entries({"item_id": {"dtype": "categorical", "cardinality": 5, "is_label": True}})


@pytest.mark.parametrize("data_path", ["days", "s3://bucket/days"])
def test_what_was_given_makes_the_same_settings(data_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {"data_path": data_path, "loss_type": "gbce", "output_dir": "out", "max_grad_norm": 2.5, "use_cpu": True}
    values["item_vectors"] = "vectors.parquet"
    settings = from_values(TrainSettings, values)
    arguments, _ = library_arguments(settings.training.library)
    sections = json.loads(json.dumps(sections_of(settings, arguments, SCHEMA), default=str))
    place = data_path if "://" in data_path else str(Path(tmp_path, "days").resolve())
    places = {"data_path": place, "item_vectors": str(Path(tmp_path, "vectors.parquet").resolve())}
    assert sections["given"] == values | places
    assert changed(from_values(TrainSettings, sections["given"])) == changed(settings) | places
    assert sections["training"]["max_grad_norm"] == 2.5 and sections["features"] == SCHEMA.to_entries()
