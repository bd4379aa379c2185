"""Processes without a launcher; one that fails ends all, and its error is what is read first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from transformers4recsys import cli
from transformers4recsys.training import launch
from transformers4recsys.training.launch import is_lost_connection, processes_to_start, run_processes

CODES, FAILING = Path(__file__).parents[1] / "codes", Path(__file__).with_name("failing.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.parametrize(
    ("flags", "environment", "num_gpus", "number"),
    [
        (["--do_train"], {}, 4, 4),
        (["--do_train"], {}, 1, 1),
        (["--do_train"], {}, 0, 1),
        (["--do_train"], {"LOCAL_RANK": "0", "WORLD_SIZE": "1"}, 4, 1),
        (["--do_train", "--use_cpu"], {}, 4, 1),
        (["--use-cpu=True"], {}, 4, 1),
        (["--use_cpu", "False", "--do_train"], {}, 4, 4),
        (["--use_cpu=no"], {}, 4, 4),
        (["--use_cpu", "perhaps"], {}, 4, 1),
    ],
)
def test_one_process_a_gpu_unless_something_else_was_asked_for(flags, environment, num_gpus, number):
    assert processes_to_start(flags, environment, num_gpus) == number


def command(days: Path, folder: Path) -> list[str]:
    return f"""train
        --do_train --do_eval --data_path {days} --feature_config {days / "features.yaml"} --use_cpu
        --start_date 2019-10-01 --end_date 2019-10-03 --model_type gru --d_model 16 --n_layer 1 --report_to none
        --per_device_train_batch_size 5 --workers_count 0 --output_dir {folder}""".split()


def test_the_program_starts_its_processes_itself_and_says_so(toy_days, tmp_path, monkeypatch, capfd):
    """Stand in for two GPUs by two processes on the CPU: they find each other and write once."""
    monkeypatch.setattr(cli, "processes_to_start", lambda *_: 2)
    assert cli.main(command(toy_days, tmp_path / "out")) == 0
    output = capfd.readouterr()
    assert "2 GPUs are visible: one process each" in " ".join(output.err.split())
    # 60 sessions, less those of one item; 5 a step in each of two processes.
    assert output.err.count("2019-10-02: training on") == 1
    progress = json.loads((tmp_path / "out" / "progress.json").read_text())
    assert progress["num_steps"] == 2 * 3 * 6
    assert (tmp_path / "out" / "log.json").read_text().count("PARAMETER") == 1


def test_an_error_of_one_of_them_is_told_once_with_its_exit_code(toy_days, tmp_path, capfd):
    (toy_days / "session_start_date=2019-10-02-train.parquet").unlink()
    assert run_processes(2, command(toy_days, tmp_path / "out")) == 2
    error = capfd.readouterr().err
    assert error.count("error: ") == 1 and "2019-10-02-train.parquet" in error


def test_a_process_that_is_killed_ends_the_others(capfd):
    kill, sleep = (
        [sys.executable, "-c", f"import os, time; {do}"] for do in ("os.kill(os.getpid(), 9)", "time.sleep(100)")
    )
    processes = [subprocess.Popen(words) for words in (sleep, kill)]
    assert launch._first_failure(processes) == 128 + 9
    assert "process 1 was ended by SIGKILL" in capfd.readouterr().err
    launch._end(processes)
    assert processes[0].returncode == -15


def test_processes_do_not_outlive_a_start_that_fails(monkeypatch):
    started, start = [], subprocess.Popen

    def start_once(_command, env):
        if started:
            raise OSError("Cannot allocate memory")
        started.append(start([sys.executable, "-c", "import time; time.sleep(100)"], env=env))
        return started[0]

    monkeypatch.setattr(launch.subprocess, "Popen", start_once)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        run_processes(2, [])
    assert started[0].returncode == -15


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), True),
        (torch.distributed.DistNetworkError("Connection reset by peer"), True),
        (torch.distributed.DistStoreError("wait timeout after 300000ms"), True),
        (RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv"), True),
        (torch.distributed.DistBackendError("NCCL error: unhandled cuda error, out of memory"), False),
        (torch.distributed.DistNetworkError("failed to recv, got 0 bytes. Connection was likely closed."), True),
        (torch.distributed.DistNetworkError("The address is already in use"), False),
        (RuntimeError("[enforce fail at gloo/allreduce.cc:34] opts.elements > 0"), False),
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
    words = [sys.executable, *TORCHRUN, str(FAILING), how, *command(toy_days, tmp_path / "out")[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CODES)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode != 0
    assert "2019-10-01: training on" in done.stderr and "2019-10-02: training on" not in done.stderr
    before, found, _ = done.stderr.partition(said)
    assert found, done.stderr
    assert "third_party/gloo" not in done.stderr and "stops, since it lost" not in before
    assert "torch.distributed.run" not in before and "Root Cause" not in before
