"""Flags of the Trainer that make a run faster or larger, on whole runs: they change no result, or little."""

import csv

import pytest
import safetensors.torch
import torch

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def losses(folder):
    with (folder / "eval_train_results_dates.csv").open() as file:
        return [float(row["eval_loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("flags", [{}, {"train_on_last_item_seq_only": True}, {"model_type": "gpt2"}])
def test_accumulated_micro_batches_equal_one_batch(flags, run_train):
    """Sessions differ in their number of targets: a mean of means would be another one."""
    flags = {"dropout": 0, "num_train_epochs": 2, **flags}
    whole = losses(run_train("whole", per_device_train_batch_size=20, **flags))
    parts = losses(run_train("parts", per_device_train_batch_size=5, gradient_accumulation_steps=4, **flags))
    assert parts == pytest.approx(whole, rel=1e-6)


def test_bf16_trains_on_the_cpu_to_nearly_the_same(run_train):
    flags = {"dropout": 0, "num_train_epochs": 5, "model_type": "gpt2"}
    full, half = losses(run_train("full", **flags)), losses(run_train("half", bf16=True, **flags))
    assert half != full and half == pytest.approx(full, rel=0.02)
    untrained = losses(run_train("untrained", **flags, learning_rate=0))
    assert half[-1] < untrained[-1] - 0.3


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_half_precision_trains_on_the_gpu_to_nearly_the_same(kind, run_train):
    flags = {"dropout": 0, "num_train_epochs": 5, "model_type": "gpt2", "use_cpu": None}
    full, half = losses(run_train("full", **flags)), losses(run_train("half", **flags, **{kind: True}))
    assert half != full and half == pytest.approx(full, rel=0.02)


@pytest.mark.slow
def test_a_compiled_model_ends_at_nearly_the_same(run_train):
    flags = {"dropout": 0, "end_date": "2019-10-02"}
    plain = run_train("plain", **flags)
    torch._dynamo.reset()
    compiled = run_train("compiled", torch_compile=True, **flags)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
    weights = [safetensors.torch.load_file(folder / "model.safetensors") for folder in (plain, compiled)]
    assert weights[0].keys() == weights[1].keys()
