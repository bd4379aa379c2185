"""How the processes of a run start where no launcher does it, and how they end together when one of them fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch.distributed
from torch.distributed.elastic.multiprocessing.errors import get_error_handler
from transformers.hf_argparser import string_to_bool

from transformers4recsys.errors import InputError

# How long a process that may only repeat another's error waits for the launcher to end it.
GRACE_SECONDS = 5.0
LOST_CONNECTION_EXIT_CODE = 1
# What NCCL, Gloo and the store say of it, in small letters. Their other errors are causes of their own.
LOST_CONNECTION_PHRASES = (
    "closed by peer",
    "closed by remote peer",
    "connection closed",
    "connection reset",
    "broken pipe",
    "timed out",
    "timeout",
    "aborted",
    "likely closed",
    "remote process",
)
# Between a request to end and the end by force; and between two looks at the processes.
END_SECONDS, LOOK_SECONDS = 10.0, 0.1


def processes_to_start(flags: Sequence[str], environment: Mapping[str, str], num_gpus: int) -> int:
    """Say how many processes to start: one a GPU, unless a launcher did it already or the CPU was asked for."""
    is_launched = "LOCAL_RANK" in environment or "WORLD_SIZE" in environment
    return 1 if is_launched or _asks_for_cpu(flags) else max(num_gpus, 1)


def _asks_for_cpu(flags: Sequence[str]) -> bool:
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--use_cpu", "--use-cpu", type=string_to_bool, nargs="?", const=True, default=False)
    try:
        return parser.parse_known_args(flags)[0].use_cpu
    except ArgumentError:
        # The run's own parser tells the mistake: once, in one process.
        return True


def run_processes(number: int, arguments: Sequence[str]) -> int:
    """Run a command of this program in `number` processes of one run; end all when one fails; give its exit code."""
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = str(Path(__file__).parents[1])
    shared = {
        "OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // number, 1)),
        **os.environ,
        "PYTHONPATH": os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]),
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        **{"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number)},
    }
    command = [sys.executable, "-m", "transformers4recsys.cli", *arguments]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(number):
            of_rank = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(subprocess.Popen(command, env=shared | of_rank))
        return _first_failure(processes)
    finally:
        _end(processes)
        signal.signal(signal.SIGTERM, previous)


def _first_failure(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait until one process failed, and give its exit code, or until all are done, and give 0."""
    while True:
        codes = [process.poll() for process in processes]
        for rank, code in enumerate(codes):
            if code is not None and code < 0:
                sys.stderr.write(f"process {rank} was ended by {signal.Signals(-code).name}; the others end with it\n")
            if code:
                return code if code > 0 else 128 - code
        if None not in codes:
            return 0
        time.sleep(LOOK_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    last = time.monotonic() + END_SECONDS
    for process in processes:
        try:
            process.wait(max(last - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def failing_together() -> Iterator[None]:
    """Let the true error of several processes come first and once.

    An InputError is mostly that of all processes: the first one of a machine raises it, the others give the launcher
    time to end them before. A process that lost another one waits too, and then says so in place of a stack. All
    else goes on up at once; the launcher shows it again in its summary.
    """
    try:
        yield
    except Exception as error:
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            raise
        rank, is_first_here = os.environ.get("RANK", "0"), os.environ.get("LOCAL_RANK", "0") == "0"
        if is_lost_connection(error):
            time.sleep(GRACE_SECONDS)
            sys.stderr.write(f"process {rank} stops, since it lost the others: {str(error).splitlines()[0]}\n")
            raise SystemExit(LOST_CONNECTION_EXIT_CODE) from None
        if not isinstance(error, InputError):
            get_error_handler().record_exception(error)
        elif not is_first_here:
            time.sleep(GRACE_SECONDS)
        raise


def is_lost_connection(error: Exception) -> bool:
    """Say whether an error tells no more than that another process is gone or silent."""
    # Gloo has no class of errors of its own; its messages begin with the place in its sources.
    is_of_the_connection = isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
    said = str(error).lower()
    return is_of_the_connection and any(phrase in said for phrase in LOST_CONNECTION_PHRASES)
