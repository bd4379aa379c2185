"""Flags that say nothing in a set-up are named, once each, with the reason."""

import pytest

from transformers4recsys.config import DataArguments, ModelArguments, TrainingArguments
from transformers4recsys.idle_flags import without_effect


@pytest.mark.parametrize(
    ("flags", "idle"),
    [
        ({}, []),
        ({"neg_sampling_alpha": 0.5}, ["neg_sampling_alpha"]),
        ({"neg_sampling_alpha": 0.5, "loss_type": "bpr"}, []),
        ({"margin_loss": 0.5, "neg_rescale_factor": 1.0, "loss_type": "cross_entropy_neg"}, ["margin_loss"]),
        ({"margin_loss": 0.5, "neg_rescale_factor": 1.0, "loss_type": "margin_hinge_a"}, []),
        ({"gbce_t": 0.5, "loss_type": "sampled_softmax"}, ["gbce_t"]),
    ],
)
def test_which_model_flags_are_idle(flags, idle, tmp_path):
    notes = without_effect(DataArguments(), ModelArguments(**flags), TrainingArguments(output_dir=str(tmp_path)))
    assert [note.split()[0] for note in notes] == [f"--{name}" for name in idle]


def test_which_data_flags_are_idle(tmp_path):
    data = DataArguments(data_loader_engine="nvtabular", loader_memory="1GB", workers_count=2)
    notes = without_effect(data, ModelArguments(), TrainingArguments(output_dir=str(tmp_path)))
    assert notes == ["--workers_count has no effect here: nvtabular reads by itself"]


def test_flags_without_effect_are_named_once(run_train, capsys):
    run_train(end_date="2019-10-02", lsh_num_hashes=4, fp16=True, hidden_act="relu")
    message = " ".join(capsys.readouterr().err.split())
    assert message.count("--lsh_num_hashes has no effect here") == 1
    assert message.count("--hidden_act has no effect here") == 1
    assert "--fp16 needs a CUDA GPU" in message
    assert message.count("columns bef_... hold past sessions: ignored") == 1
