"""Every field of the library's TrainingArguments has a verdict, and the verdict holds."""

import dataclasses

import pytest
import transformers

from transformers4recsys.errors import InputError
from transformers4recsys.settings import from_values, unused
from transformers4recsys.training.training_arguments import (
    NO_EFFECT,
    REFUSED,
    SUCCESSORS,
    VERDICTS,
    LibrarySettings,
    library_arguments,
)

FIELDS = {field.name: field for field in dataclasses.fields(transformers.TrainingArguments)}
# Ours differ on purpose.
OTHER_DEFAULTS = {"report_to": "auto", "logging_nan_inf_filter": False}


def made(**values):
    return library_arguments(from_values(LibrarySettings, {"output_dir": "x", "use_cpu": True, **values}))


def test_the_table_has_every_field_and_no_other():
    assert VERDICTS.keys() == FIELDS.keys()
    assert not SUCCESSORS.keys() & FIELDS.keys()


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_verdict_says_why_and_has_the_default_of_the_library(name):
    verdict, default = VERDICTS[name], FIELDS[name].default
    assert bool(verdict.why) == (verdict.kind in (NO_EFFECT, REFUSED))
    if verdict.default is not None or default is True:
        assert verdict.default == OTHER_DEFAULTS.get(name, default)


@pytest.mark.parametrize("name", sorted(name for name, verdict in VERDICTS.items() if verdict.kind == REFUSED))
def test_what_is_refused_is_refused_with_the_reason(name):
    with pytest.raises(InputError) as error:
        from_values(LibrarySettings, {name: "epoch"})
    assert f"`{name}` epoch is not supported: {VERDICTS[name].why}" in str(error.value)
    from_values(LibrarySettings, {name: VERDICTS[name].default})


@pytest.mark.parametrize("name", sorted(name for name, verdict in VERDICTS.items() if verdict.kind == NO_EFFECT))
def test_what_has_no_effect_is_said_once(name):
    assert unused(from_values(LibrarySettings, {name: "7"})) == {name: VERDICTS[name].why}


def test_values_of_files_are_converted_by_the_types_of_the_library():
    arguments, _ = made(learning_rate="1e-3", logging_strategy=False, report_to=["a", "b"], seed="7", save_steps=0)
    assert (arguments.learning_rate, arguments.logging_strategy, arguments.report_to) == (0.001, "no", ["a", "b"])
    assert (arguments.seed, arguments.save_strategy) == (7, "no")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"per_device_train_batch_size": 0}, "`per_device_train_batch_size` 0: must be at least 1"),
        ({"label_smoothing_factor": 1}, "`label_smoothing_factor` 1.0: must be at least 0 and below 1"),
        ({"seed": "x"}, "`seed` 'x': expected a whole number"),
        ({"fsdp": "shard_grad_op"}, "`fsdp` shard_grad_op: give full_shard"),
        ({"fsdp": "full_shard", "torch_compile": True}, "`fsdp` does not go with `torch_compile`"),
        ({"fsdp": "full_shard", "fp16": True}, "`fsdp` does not go with `fp16`"),
        (
            {"logging_strategy": "sometimes"},
            "`logging_strategy` 'sometimes' is unknown; choose one of epoch, no, steps",
        ),
        ({"optim": "adamw_torhc"}, "`optim` 'adamw_torhc' is unknown; did you mean adamw_torch? There are"),
    ],
)
def test_values_that_cannot_be_are_refused(values, words):
    with pytest.raises(InputError) as error:
        made(**values)
    assert words in str(error.value)


@pytest.mark.parametrize(("given", "taken"), [("yes", "true"), ("true", "true"), ("no", None), ("run/of", "run/of")])
def test_resuming_takes_yaml_words_beside_folders(given, taken, tmp_path):
    settings = from_values(LibrarySettings, {"output_dir": str(tmp_path), "resume_from_checkpoint": given})
    assert library_arguments(settings)[0].resume_from_checkpoint == taken
