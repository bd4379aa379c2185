from transformers4recsys.baselines import BASELINES
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model_types import BASELINE_NAMES


def test_every_baseline_is_named_where_model_types_are_listed():
    assert tuple(BASELINES) == BASELINE_NAMES and not ENCODERS.keys() & BASELINES.keys()
