"""The feature configs, recipes and editor set-up that ship with the program can be used as they are."""

import json
from pathlib import Path

import pytest

from transformers4recsys.commands import train
from transformers4recsys.data.days import days_between
from transformers4recsys.day_format import TIME_UNITS
from transformers4recsys.flags import FlagParser
from transformers4recsys.preprocessing.recipe import read_recipe
from transformers4recsys.schema import Schema
from transformers4recsys.settings import from_values, unused

ROOT = Path(__file__).parent.parent
CONFIGURATIONS = json.loads((ROOT / "resources/dev_env/vscode/launch.json").read_text())["configurations"]
# What the commands of the RecSys'21 paper say: --final_time_window_index, of windows that are counted from 1.
PAPER_WINDOWS = {"ecommerce-large": 30, "yoochoose": 180, "g1": 380, "adressa": 380}


def names(paths):
    return [path.relative_to(ROOT).as_posix() for path in sorted(paths)]


def settings_of(path):
    return from_values(train.SETTINGS, FlagParser(train.SETTINGS).values_of([str(ROOT / path)]))


@pytest.mark.parametrize("path", names(ROOT.glob("datasets/*/config/features/*.yaml")))
def test_a_feature_config_names_one_item_and_its_past(path):
    is_aware = "session_aware" in path
    schema = Schema.from_file(ROOT / path, past_prefix="bef_" if is_aware else None)
    assert schema.item_id.name == "sess_pid_seq" and schema.item_id.cardinality == 390_000
    assert len(schema.past) == (len(schema.features) if is_aware else 0)


@pytest.mark.parametrize("path", names(ROOT.glob("datasets/*/preprocessing.yaml")))
def test_a_recipe_can_be_read(path):
    assert read_recipe(ROOT / path).item_column


@pytest.mark.parametrize("path", names([*ROOT.glob("datasets/*/train.yaml"), *ROOT.glob("datasets/*/paper/*.yaml")]))
def test_a_training_file_can_be_parsed(path):
    settings = settings_of(path)
    assert settings.training.library.do_train and settings.training.library.do_eval
    assert settings.data.sessions.feature_config


@pytest.mark.parametrize("log", PAPER_WINDOWS)
def test_the_papers_experiments_are_there_for_each_of_its_logs(log):
    experiments = "bert_mlm electra_rtd gpt2 gru transfoxl xlnet_clm xlnet_mlm xlnet_plm xlnet_rtd".split()
    if log != "yoochoose":
        # Of the logs with more columns.
        experiments += ["xlnet_mlm_concat", "xlnet_mlm_elementwise", "xlnet_mlm_soft_one_hot"]
    assert sorted(path.stem for path in (ROOT / "datasets" / log / "paper").iterdir()) == sorted(experiments)


@pytest.mark.parametrize("path", names(ROOT.glob("datasets/*/paper/*.yaml")))
def test_an_experiment_of_the_paper_has_its_windows_in_the_unit_of_the_recipe_and_no_setting_without_effect(path):
    settings, log = settings_of(path), Path(path).parts[1]
    days = settings.data.days
    assert days.time_unit == read_recipe(ROOT / "datasets" / log / "preprocessing.yaml").time_unit
    assert len(days_between(days.start_date, days.end_date, TIME_UNITS[days.time_unit])) == PAPER_WINDOWS[log]
    assert not unused(settings)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each["name"])
def test_an_editor_configuration_holds_flags_that_parse(configuration):
    flags = configuration["args"]
    flags = flags[flags.index("recsys_main.py") + 1 :] if "module" in configuration else flags
    settings = from_values(train.SETTINGS, FlagParser(train.SETTINGS).values_of(flags))
    assert (ROOT / "codes" / settings.data.sessions.feature_config).exists() and settings.training.library.do_train
