"""A measurement runs what it says it runs, and its counts are right."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import torch

from transformers4recsys.benchmarking.measure import SetUp, measure, split_workload, step_flops
from transformers4recsys.benchmarking.workload import write_sessions

SMALL = {
    **{"num_items": 40, "num_sessions": 200, "length": 4.0, "longest": 8, "d_model": 8, "n_layer": 1, "n_head": 2},
    **{"batch_size": 16, "num_steps": 2, "num_warmup_steps": 1, "repeats": 1, "threads": 1},
}


def in_a_process_of_its_own(set_up):
    command = [sys.executable, "-m", "transformers4recsys.benchmarking.measure", json.dumps(set_up)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def in_this_process(set_up):
    return measure(SetUp(**set_up))


@pytest.mark.parametrize(
    ("run", "loss_type"), [(in_a_process_of_its_own, "cross_entropy"), (in_this_process, "sampled_softmax")]
)
def test_measures_a_small_set_up(run, loss_type):
    row = run(SMALL | {"loss_type": loss_type, "model_type": "gru"})
    assert row["num_items"] == 40 and row["loss_type"] == loss_type
    for name in ("train_sessions_per_s", "eval_sessions_per_s", "load_events_per_s", "peak_memory_mb"):
        assert row[name] > 0
    assert row["train_sessions_per_s"] * row["step_ms"] == pytest.approx(1000 * SMALL["batch_size"])


def test_a_given_workload_is_split_in_order(tmp_path):
    write_sessions(tmp_path / "given.parquet", num_items=40, num_sessions=100, length=4, longest=8, seed=3)
    set_up = SetUp(**SMALL | {"workload": str(tmp_path / "given.parquet"), "eval_sessions": 5})
    train, evaluation, largest = split_workload(set_up, tmp_path)
    whole = pq.read_table(tmp_path / "given.parquet")["items"].to_pylist()
    assert pq.read_table(train)["items"].to_pylist() == whole[:90]
    assert pq.read_table(evaluation)["items"].to_pylist() == whole[90:95]
    assert largest == max(map(max, whole))


def test_products_of_a_step_by_hand():
    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 8, bias=False)

    class Model:
        encoder, item_table = Encoder(), torch.zeros(41, 8)

    # 16 sessions of 4 events, 3 of which predict the next one: 6 x 48 x (64 weights + 8 x 41).
    assert step_flops(Model.encoder, Model.item_table, SetUp(**SMALL), 4.0) == 6 * 48 * (64 + 8 * 41)
    assert step_flops(Model.encoder, None, SetUp(**SMALL), 4.0) == 6 * 48 * 64


def test_an_unknown_precision_is_not_silently_replaced():
    with pytest.raises(KeyError):
        measure(SetUp(**SMALL | {"precision": "int3", "model_type": "gru"}))
