"""Processes without a launcher; one that fails ends all, and its error is what is read first."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import distribute_tensor

from transformers4recsys import cli
from transformers4recsys.training import launch
from transformers4recsys.training.launch import (
    failing_together,
    is_lost_connection,
    processes_to_start,
    reason_of,
    run_processes,
)

CODES, FAILING = Path(__file__).parents[2] / "codes", Path(__file__).with_name("failing.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.parametrize(
    ("uses_cpu", "environment", "num_gpus", "number"),
    [
        (False, {}, 4, 4),
        (False, {}, 1, 1),
        (False, {}, 0, 1),
        (False, {"LOCAL_RANK": "0", "WORLD_SIZE": "1"}, 4, 1),
        (True, {}, 4, 1),
    ],
)
def test_one_process_a_gpu_unless_something_else_was_asked_for(uses_cpu, environment, num_gpus, number):
    assert processes_to_start(uses_cpu=uses_cpu, environment=environment, num_gpus=num_gpus) == number


def command(days: Path, folder: Path) -> list[str]:
    return f"""train
        --do_train --do_eval --data_path {days} --feature_config {days / "features.yaml"} --use_cpu
        --start_date 2019-10-01 --end_date 2019-10-03 --model_type gru --d_model 16 --n_layer 1 --report_to none
        --per_device_train_batch_size 5 --workers_count 0 --output_dir {folder}""".split()


def test_the_program_starts_its_processes_itself_and_says_so(toy_days, tmp_path, monkeypatch, capfd):
    """Stand in for two GPUs by two processes on the CPU: they find each other and write once."""
    monkeypatch.setattr(launch, "processes_to_start", lambda **_: 2)
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


def test_a_process_that_is_killed_ends_the_others_and_gives_the_exit_code(monkeypatch, tmp_path, capfd):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n[ $RANK = 1 ] && kill -9 $$\necho $$ > pid\nexec sleep 100\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(program))
    assert run_processes(2, []) == 128 + 9
    assert capfd.readouterr().err == "process 1 was ended by SIGKILL; the others end with it\n"
    assert not is_alive(int((tmp_path / "pid").read_text()))


WAITING = """
import os, sys, time
from pathlib import Path
from transformers4recsys.training.launch import failing_together
with failing_together():
    Path(sys.argv[1], os.environ["RANK"]).write_text(str(os.getpid()))
    time.sleep(100)
"""


def test_processes_do_not_outlive_their_launcher(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    folder = tmp_path / "pids"
    folder.mkdir()
    words = [sys.executable, *TORCHRUN, str(tmp_path / "waiting.py"), str(folder)]
    launcher = subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: all((folder / rank).exists() and (folder / rank).read_text() for rank in "01"), seconds=60)
    pids = [int((folder / rank).read_text()) for rank in "01"]
    assert all(map(is_alive, pids))
    launcher.kill()
    launcher.wait()
    wait_for(lambda: not any(map(is_alive, pids)), seconds=15)


def test_nothing_of_the_connection_is_left_when_a_run_went_well(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    threads = set(threading.enumerate())
    at_exit = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    with failing_together():
        assert len(set(threading.enumerate()) - threads) == 1
        # A sharded table that refers to itself, as the parts of a model do: reference counts alone never free it.
        table = distribute_tensor(torch.zeros(2, 2), init_device_mesh("cpu", (1,)))
        cycle: list[object] = [table]
        cycle.append(cycle)
        del table, cycle
    assert threads_of_gloo()
    for leave in at_exit:
        leave()
    assert not torch.distributed.is_initialized()
    assert set(threading.enumerate()) <= threads
    assert not threads_of_gloo()


def threads_of_gloo() -> list[str]:
    """Give the names of the threads that gloo has, which Python does not know of."""
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


TELLING = """
import sys, time
time.sleep(float(sys.argv[1]))
from transformers4recsys.distributed import say_once
say_once("error: d_model")
sys.exit(2)
"""


@pytest.mark.parametrize("delays", [(0, 6), (6, 0)])
def test_an_error_that_all_have_is_told_once_however_far_apart_they_start(delays):
    """Stand in for two machines by two processes without a launcher: nothing but the store joins them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    processes = []
    for rank, delay in enumerate(delays):
        own = environment() | {"RANK": str(rank), "LOCAL_RANK": str(rank), **meeting}
        words = [sys.executable, "-c", TELLING, str(delay)]
        processes.append(subprocess.Popen(words, env=own, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=90)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert "".join(said).count("error: ") == 1 and "d_model" in "".join(said)


@pytest.mark.slow
def test_a_stopped_process_ends_the_run_after_the_timeout(toy_days, tmp_path):
    words = [*command(toy_days, tmp_path / "out"), "--num_train_epochs", "100000", "--ddp_timeout", "4"]
    log = tmp_path / "log"
    with log.open("w") as file:
        run = [sys.executable, *TORCHRUN, str(CODES / "recsys_main.py"), *words[1:]]
        launcher = subprocess.Popen(run, env=environment(), stderr=file)
    wait_for(lambda: "2019-10-01: training on" in log.read_text(), seconds=90)
    children = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True).stdout.split()
    time.sleep(1)
    os.kill(int(children[-1]), signal.SIGSTOP)
    # The launcher gives a process that does not answer 30 seconds to end.
    assert launcher.wait(timeout=80) == 1
    assert "stops, since it lost the others" in log.read_text()
    assert not any(is_alive(int(child)) for child in children)


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CODES), "CUDA_VISIBLE_DEVICES": ""}


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    # A zombie has ended and waits for nobody but its parent.
    return state != "Z"


def wait_for(is_done, *, seconds: float) -> None:
    last = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < last, "it does not come to pass"
        time.sleep(0.1)


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


def test_a_lost_connection_is_told_without_a_place_in_the_sources():
    error = RuntimeError(
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:3\nat 0"
    )
    assert reason_of(error) == "Connection closed by peer [::1]:3"


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
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "2019-10-01: training on" in done.stderr and "2019-10-02: training on" not in done.stderr
    before, found, _ = done.stderr.partition(said)
    assert found, done.stderr
    assert "third_party/gloo" not in done.stderr and "stops, since it lost" not in before
    assert "torch.distributed.run" not in before and "Root Cause" not in before
