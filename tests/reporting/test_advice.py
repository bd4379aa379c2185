"""A model behind a baseline is told what to change; the names that it is told are settings."""

import pytest

from transformers4recsys.commands.train import SETTINGS
from transformers4recsys.reporting.advice import REMEDIES, advice, remedies
from transformers4recsys.settings import names_of

USUAL = {
    "learning_rate": 5e-05,
    "constrained_embeddings": False,
    "tf_out_activation": "relu",
    "per_device_train_batch_size": 256,
    "training_time_window_size": 1,
    "num_train_epochs": 3.0,
}
GOOD = USUAL | {"learning_rate": 0.001, "constrained_embeddings": True, "tf_out_activation": "none"}


def day(model, **baselines):
    return {"eval_ndcg@20": model, **{f"eval_{name}_ndcg@20": value for name, value in baselines.items()}}


def test_the_best_baseline_and_two_flags_are_named():
    told = advice([day(0.9, most_popular=0.1, rules=0.2), day(0.15, most_popular=0.1, rules=0.2)], USUAL)
    assert told == (
        "The model is behind a baseline in the last half of the days: ndcg@20 0.1500, rules 0.2000. "
        "Most likely to help: --learning_rate 0.001 (now 5e-05) and --constrained_embeddings true (now false)."
    )


@pytest.mark.parametrize(
    "days",
    [
        [],
        [{"eval_ndcg@20": None, "eval_most_popular_ndcg@20": None}],
        [day(0.1)],
        [day(0.0, most_popular=0.3), day(0.3, most_popular=0.3)],
        # Groups of labels are no baselines.
        [day(0.1, seen=0.9, cold=0.8, most_popular=0.1)],
    ],
)
def test_a_model_that_is_not_behind_is_told_nothing(days):
    assert advice(days, USUAL) is None


def test_what_is_right_already_is_not_named():
    assert remedies(GOOD)[:2] == [("per_device_train_batch_size", 64, 256), ("training_time_window_size", 7, 1)]
    tied = {"constrained_embeddings": False, "mf_constrained_embeddings": True}
    assert remedies(tied) == [] and advice([day(0.1, rules=0.2)], tied).endswith("rules 0.2000.")


def test_a_rate_that_does_not_fall_is_named_before_more_epochs():
    of_many_days = GOOD | {"per_device_train_batch_size": 64, "training_time_window_size": 30}
    constant = of_many_days | {"learning_rate_schedule": "constant_with_warmup"}
    assert remedies(constant)[:2] == [
        ("learning_rate_schedule", "linear_with_warmup", "constant_with_warmup"),
        ("num_train_epochs", "6", 3.0),
    ]
    assert remedies(constant | {"learning_rate_schedule": "linear_with_warmup"})[0][0] == "num_train_epochs"


def test_remedies_are_settings_of_the_train_command():
    assert {name for name, _, _ in REMEDIES} <= set(names_of(SETTINGS))
