"""How the processes of a run start where no launcher does it, and how they end together when one of them fails."""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch.distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, get_error_handler
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from transformers4recsys import distributed
from transformers4recsys.errors import InputError
from transformers4recsys.settings import setting


@dataclass(frozen=True)
class LaunchSettings:
    """Processes: how a run is spread"""

    model_parallel: bool = setting(
        False, "accepted for old launch lines; several processes are DistributedDataParallel"
    )
    shard_item_tables: bool = setting(
        False,
        "each process holds its share of the rows of item tables, of their gradients and of their optimizer state",
        if_changed="ignore",
    )


# How long a process that lost another one waits for the launcher to end it: that one's error should be read first.
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
# Between a request to end and the end by force; and between two looks at the launcher.
END_SECONDS, LOOK_SECONDS = 10.0, 1.0


def processes_to_start(*, uses_cpu: bool, environment: Mapping[str, str], num_gpus: int) -> int:
    """Say how many processes to start: one a GPU, unless a launcher did it already or the CPU was asked for."""
    is_launched = "LOCAL_RANK" in environment or "WORLD_SIZE" in environment
    return 1 if is_launched or uses_cpu else max(num_gpus, 1)


def run_processes(number: int, arguments: Sequence[str]) -> int:
    """Run a command of this program in `number` processes of one run, as torchrun does; give its exit code."""
    # Processes find the program where this one did, and share the cores.
    source = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // number, 1)))
    # The processes tell what went wrong, this one passes it on.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        shutdown_timeout=int(END_SECONDS),
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "transformers4recsys.cli", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            sys.stderr.write(f"process {rank} was ended by {name}; the others end with it\n")
            return 128 - failure.exitcode
        return failure.exitcode
    except SignalException as error:
        return 128 + error.sigval
    return 0


@contextmanager
def failing_together() -> Iterator[None]:
    """Let the true error of several processes come first, and no process outlive its launcher.

    A process that lost another one gives the launcher time to end it, and then says so in place of a stack. What is
    an error of all is said by `distributed.say_once`. All else goes on up at once; the launcher shows it again.
    """
    is_over = threading.Event()
    watch = threading.Thread(target=_end_with_the_launcher, args=[os.getppid(), is_over], daemon=True)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        watch.start()
    try:
        yield
        _leave_at_exit()
    except (SystemExit, KeyboardInterrupt):
        _leave_at_exit()
        raise
    except Exception as error:
        if distributed.num_launched() == 1:
            raise
        if is_lost_connection(error):
            time.sleep(GRACE_SECONDS)
            rank = os.environ.get("RANK", "0")
            sys.stderr.write(f"process {rank} stops, since it lost the others: {reason_of(error)}\n")
            raise SystemExit(LOST_CONNECTION_EXIT_CODE) from None
        if not isinstance(error, InputError):
            get_error_handler().record_exception(error)
        raise
    finally:
        is_over.set()
        if watch.is_alive():
            watch.join()


def _leave_at_exit() -> None:
    # Threads of the connection that outlive Python's end can abort a process whose run went well.
    atexit.register(distributed.leave)


def _end_with_the_launcher(launcher: int, is_over: threading.Event) -> None:
    """Ask this process to end when its launcher is gone, and make it when it does not; stop when the run is over."""
    while os.getppid() == launcher:
        if is_over.wait(LOOK_SECONDS):
            return
    os.kill(os.getpid(), signal.SIGTERM)
    if is_over.wait(END_SECONDS):
        return
    # It waits for another process, and Python's signal handlers do not run.
    os._exit(128 + signal.SIGTERM)


def reason_of(error: Exception) -> str:
    """Give the first line of an error, without the place in Gloo's sources with which its messages begin."""
    return re.sub(r"^\[[^]]*gloo[^]]*\] ", "", str(error).splitlines()[0])


def is_lost_connection(error: Exception) -> bool:
    """Say whether an error tells no more than that another process is gone or silent."""
    # Gloo has no class of errors of its own; its messages begin with the place in its sources.
    is_of_the_connection = isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
    said = str(error).lower()
    return is_of_the_connection and any(phrase in said for phrase in LOST_CONNECTION_PHRASES)
