from pathlib import Path

import optuna
import pytest

from transformers4recsys.commands.train import TrainSettings
from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings
from transformers4recsys.settings import from_values, names_of
from transformers4recsys.tuning.space import PAPER, Choice, Range, default_space, space_of

PATH, KNOWN = Path("space.yaml"), ["learning_rate", "dropout", "n_head", "n_layer"]


def drawn(dimension, number=200):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return {dimension.suggest(study.ask(), "x") for _ in range(number)}


def test_ranges_reach_both_ends_by_their_steps():
    assert drawn(Range(64, 256, step=64)) == {64, 128, 192, 256}
    assert drawn(Range(0.0, 0.3, step=0.1)) == {0.0, 0.1, 0.2, 0.3}
    assert drawn(Choice(("gru", "gpt2"))) == {"gru", "gpt2"}


def test_a_log_range_spreads_over_its_powers_of_ten():
    values = drawn(Range(1e-4, 1e-2, log=True))
    assert 0.4 < sum(value < 1e-3 for value in values) / len(values) < 0.6


def test_a_space_is_read_by_name():
    entries = {
        "learning_rate": {"low": "1e-4", "high": 0.01, "log": True},
        "n_head": [1, 2],
        "n_layer": {"low": 1, "high": 4},
    }
    space = space_of(entries, KNOWN, PATH)
    assert space == {"learning_rate": Range(1e-4, 0.01, log=True), "n_head": Choice((1, 2)), "n_layer": Range(1, 4)}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "names no setting"),
        ({"learning_rat": [1]}, "'learning_rat' is not a setting of train"),
        ({"dropout": []}, "give a list of values, or low and high"),
        ({"dropout": {"low": 0}}, "give a list of values, or low and high"),
        ({"dropout": {"low": 0.5, "high": 0.1}}, "low 0.5 is not below high 0.1"),
        ({"dropout": {"low": 0, "high": 0.1, "log": True}}, "log needs a low end above 0"),
        ({"dropout": {"low": "a", "high": 1}}, "space.yaml, dropout, low: 'a' is not a number"),
        ({"dropout": {"low": 0, "high": 1, "step": 0}}, "step 0 is not above 0"),
    ],
)
def test_a_space_that_cannot_be_used_is_named(entries, message):
    with pytest.raises(InputError, match=message):
        space_of(entries, KNOWN, PATH)


def test_the_papers_space_varies_settings_there_are():
    def left_out(**values):
        return {*PAPER} - {*default_space(from_values(ModelSettings, values))}

    masked = default_space(from_values(ModelSettings, {"mlm": True, "model_type": "bert"}))
    assert {"mlm_probability", *PAPER} == set(masked) <= set(names_of(TrainSettings))
    assert left_out() == set()
    assert left_out(constrained_embeddings=True) == {"item_embedding_dim"}
    assert left_out(model_type="avgseq") == {"n_head", "n_layer"}
    with pytest.raises(InputError, match="`model_type` popular is a baseline.* as `space`"):
        left_out(model_type="popular")
    assert left_out(model_type="gru", loss_type="sampled_softmax") == {"n_head", "label_smoothing_factor"}
