"""The models that a run can have: one that is trained, or a baseline."""

from __future__ import annotations

from transformers4recsys.baselines import BASELINES, BaselineSettings
from transformers4recsys.baselines.model import BaselineModel
from transformers4recsys.model.build import ModelSettings
from transformers4recsys.model.next_item import NextItemModel
from transformers4recsys.model.targets import TargetSettings
from transformers4recsys.schema import Schema
from transformers4recsys.settings import changed

AnyModel = NextItemModel | BaselineModel


def is_baseline(model: ModelSettings) -> bool:
    """Say whether the settings name a baseline."""
    return model.choice.model_type in BASELINES and not model.choice.config_name


def build_baseline(schema: Schema, model: ModelSettings, baselines: BaselineSettings, name: str) -> BaselineModel:
    """Make a baseline that has counted nothing yet; it predicts what a model of these settings predicts."""
    targets = model.targets
    if targets.task != "causal":
        targets = TargetSettings(eval_on_last_item_seq_only=True)
    return BaselineModel(baselines.make(name), schema, targets.evaluation_rule())


def unused_by_baselines(model: ModelSettings) -> list[str]:
    """Name the settings of a model that were changed and that a baseline does not use."""
    used = ("model_type", "model_name_or_path", "eval_on_last_item_seq_only", "mlm")
    return [name for name in changed(model) if name not in used]
