"""A training command whose second process fails in its second batch: by `kill`, `raise` or `input`; then the flags."""

import os
import signal
import sys

from transformers4recsys import cli, distributed
from transformers4recsys.errors import InputError
from transformers4recsys.training import trainer

read = trainer.EpochLoader.__iter__


def fail(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise {"raise": ZeroDivisionError, "input": InputError}[how]("on one process alone")


def failing(loader):
    for number, inputs in enumerate(read(loader)):
        if number == 1 and distributed.rank() == 1:
            fail(sys.argv[1])
        yield inputs


if __name__ == "__main__":
    trainer.EpochLoader.__iter__ = failing
    sys.exit(cli.main(["train", *sys.argv[2:]]))
