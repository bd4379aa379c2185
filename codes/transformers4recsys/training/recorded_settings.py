"""The settings of a run as config.json records them: in their sections, and as they were given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from transformers4recsys.data.parquet.files import redact_credentials
from transformers4recsys.schema import Schema
from transformers4recsys.settings import as_values, changed
from transformers4recsys.training import checkpoint

# Settings that name a folder or a file which `update`, started in another folder, reads.
PATHS = ("data_path", "item_vectors", "diversity_vectors")


def sections_of(settings: Any, arguments: TrainingArguments, schema: Schema) -> dict[str, Any]:
    """Give every setting of the sections data, model, baselines and training, the columns, and what was given."""
    of_model = as_values(settings.model)
    if checkpoint.is_saved_run(of_model["model_name_or_path"]):
        # Its weights are part of this run, which needs the other one no more.
        of_model["model_name_or_path"] = None
    return {
        "data": _without_credentials(as_values(settings.data)),
        "model": _without_credentials(of_model),
        "baselines": as_values(settings.baselines),
        "training": _without_credentials(as_values(settings.training) | arguments.to_sanitized_dict()),
        "features": schema.to_entries(),
        "given": _without_credentials(_given(settings)),
    }


def _given(settings: Any) -> dict[str, Any]:
    """Give the settings that are not at their defaults, as a file of flags has them; `PATHS` can be found again."""
    values = changed(settings)
    for name in PATHS:
        if "://" not in (values.get(name) or "://"):
            values[name] = str(Path(values[name]).expanduser().resolve())
    if checkpoint.is_saved_run(values.get("model_name_or_path")):
        del values["model_name_or_path"]
    return values


def _without_credentials(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: redact_credentials(value) if type(value) is str else value for name, value in values.items()}
