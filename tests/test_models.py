from transformers4recsys.baselines import BaselineSettings
from transformers4recsys.model.build import ModelSettings
from transformers4recsys.model.targets import CausalLastTarget, CausalTargets
from transformers4recsys.models import build_baseline, is_baseline, unused_by_baselines
from transformers4recsys.settings import from_values


def test_a_baseline_predicts_what_a_model_of_the_same_settings_predicts(schema):
    for values, rule in (
        ({}, CausalTargets()),
        ({"eval_on_last_item_seq_only": True}, CausalLastTarget()),
        ({"mlm": True}, CausalLastTarget()),
        ({"rtd": True}, CausalLastTarget()),
    ):
        settings = from_values(ModelSettings, {"model_type": "rules", **values})
        assert build_baseline(schema, settings, BaselineSettings(), "rules").evaluation_targets == rule


def test_what_a_baseline_has_no_use_for(schema):
    settings = from_values(ModelSettings, {"model_type": "recent", "d_model": 8, "mlm": True})
    assert is_baseline(settings) and not is_baseline(ModelSettings())
    assert unused_by_baselines(settings) == ["d_model"]
