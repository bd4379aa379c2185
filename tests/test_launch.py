"""A process that fails ends all, and its error is what is read first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from transformers4recsys.launch import is_lost_connection

CODES, FAILING = Path(__file__).parents[1] / "codes", Path(__file__).with_name("failing.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("gloo"), False),
    ],
)
def test_what_says_that_another_process_is_gone(error, is_lost):
    assert is_lost_connection(error) == is_lost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("kill", "(exitcode: -9) local_rank: 1"),
        ("raise", "ZeroDivisionError: on one process alone"),
        ("input", "error: on one process alone"),
    ],
)
def test_one_failing_process_ends_all_and_tells_why(how, said, toy_days, tmp_path):
    flags = f"""
        --do_train --do_eval --data_path {toy_days} --feature_config {toy_days / "features.yaml"} --use_cpu
        --start_date 2019-10-01 --end_date 2019-10-03 --model_type gru --d_model 16 --n_layer 1 --report_to none
        --per_device_train_batch_size 5 --workers_count 0 --output_dir {tmp_path / "out"}"""
    words = [sys.executable, *TORCHRUN, str(FAILING), how, *flags.split()]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CODES)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode != 0
    assert "2019-10-01: training on" in done.stderr and "2019-10-02: training on" not in done.stderr
    before, found, _ = done.stderr.partition(said)
    assert found, done.stderr
    assert "third_party/gloo" not in done.stderr and "stops, since it lost" not in before
    assert "torch.distributed.run" not in before and "Root Cause" not in before
