"""The model of a run folder: built from the run's settings, with its weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers4recsys.config import DataArguments, ModelArguments, TrainingArguments
from transformers4recsys.errors import InputError
from transformers4recsys.model.build import is_saved_run, model_of
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.recommender.opened_run import RunFolder


def saved_model(run: RunFolder) -> NextItemModel:
    """Build the model of a run; raise InputError where settings and weights do not belong together."""
    model = ModelArguments(**_own_fields(ModelArguments, run.settings["model"]))
    if model.model_name_or_path:
        # Its weights are in the folder; of a library model, only the architecture is needed.
        if not is_saved_run(model.model_name_or_path):
            model.config_name = model.config_name or model.model_name_or_path
        model.model_name_or_path = None
    # Nothing is trained here.
    model.sparse_item_updates = False
    data = DataArguments(**_own_fields(DataArguments, run.settings["data"]))
    built = model_of(
        data, model, TrainingArguments(output_dir=str(run.path), report_to="none", use_cpu=True), run.schema
    )
    try:
        built.load_state_dict(run.weights())
    except RuntimeError as error:
        raise InputError(f"{run.path}: the weights do not fit the settings of the run: {error}") from error
    return built


def _own_fields(settings: Any, values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(settings)}
    return {name: value for name, value in values.items() if name in names}
