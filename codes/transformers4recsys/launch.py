"""How the processes of a run end together, the one that failed telling why, and the others leaving it the word."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from transformers4recsys.errors import InputError

# How long a process that may only repeat another's error waits for the launcher to end it.
GRACE_SECONDS = 5.0
LOST_CONNECTION_EXIT_CODE = 1


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
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
