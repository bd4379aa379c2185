"""The model of a run folder: built from the run's settings, with its weights."""

from __future__ import annotations

from dataclasses import replace

from transformers4recsys.baselines import BaselineSettings
from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.content import ItemData
from transformers4recsys.model.growth import SESSION_COUNTS
from transformers4recsys.models import AnyModel, build_baseline, is_baseline
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.schema import SessionSettings
from transformers4recsys.settings import pick


def saved_model(run: RunFolder) -> AnyModel:
    """Build the model of a run; raise InputError where settings and weights do not belong together."""
    model, sessions = pick(ModelSettings, run.settings["model"]), pick(SessionSettings, run.settings["data"])
    if is_baseline(model):
        baselines = pick(BaselineSettings, run.settings["baselines"])
        counted = build_baseline(run.schema, model, baselines, model.choice.model_type)
        counted.load_state_dict(run.weights())
        return counted
    if model.choice.model_name_or_path:
        # Its weights are in the folder; of a library model, only the architecture is needed.
        config_name = model.choice.config_name or model.choice.model_name_or_path
        model = replace(model, choice=replace(model.choice, model_name_or_path=None, config_name=config_name))
    weights = run.weights()
    data = ItemData.of_weights(weights)
    built = build_model(run.schema, model, max_length=sessions.max_length, item_data=data)
    own = built.state_dict()
    if SESSION_COUNTS not in weights:
        # Earlier versions did not count sessions, and no recommendation needs them.
        del own[SESSION_COUNTS]
    misfits = sorted(own.keys() ^ weights.keys())
    misfits += [name for name in own.keys() & weights.keys() if own[name].shape != weights.shape(name)]
    if misfits:
        raise InputError(f"{run.path}: the weights do not fit the settings of the run: {', '.join(misfits[:5])}")
    for name, value in own.items():
        weights.read_into(name, value)
    return built
