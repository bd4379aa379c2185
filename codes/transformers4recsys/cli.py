"""From a command line to a command: it is imported when it is called, and its settings are named as flags."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from transformers4recsys.commands import COMMANDS, Command
from transformers4recsys.errors import DivergedError, InputError
from transformers4recsys.flags import AsFlags, FlagParser, as_flags
from transformers4recsys.help_page import PROGRAM, help_page, overview
from transformers4recsys.settings import converted, names_of, nearest
from transformers4recsys.version import version

log = logging.getLogger(__name__)
HELP, VERSION = ("-h", "--help"), ("-V", "--version")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 2 for what is to be mended, 1 for failed training, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in HELP:
        sys.stdout.write(overview())
        return 0
    if {*VERSION} & {*arguments}:
        sys.stdout.write(f"{PROGRAM} {version()}\n")
        return 0
    names: set[str] = set()
    try:
        name, command = arguments[0], _command(arguments[0])
        if {*HELP} & {*arguments}:
            sys.stdout.write(help_page(name))
            return 0
        module = import_module(f"{PROGRAM}.commands.{command.module}")
        names |= set(names_of(module.SETTINGS))
        _show_log_lines(names)
        values = FlagParser(module.SETTINGS).values_of(arguments[1:])
        if command.uses_gpus:
            return _run_on_gpus(module.run, values, arguments)
        module.run(values)
    except (InputError, DivergedError) as error:
        _say(f"error: {as_flags(str(error), names)}\n")
        return 1 if isinstance(error, DivergedError) else 2
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write("stopped by SIGINT\n")
        return 130
    return 0


def _command(name: str) -> Command:
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        hint = f"; did you mean {near}?" if near else "."
        raise InputError(f"{name!r} is not a command{hint} There are: {', '.join(COMMANDS)}")
    return COMMANDS[name]


def _show_log_lines(names: set[str]) -> None:
    from transformers4recsys.terminal import show_log_lines

    show_log_lines([AsFlags(names)])


def _run_on_gpus(run: Callable[[Mapping[str, Any]], None], values: Mapping[str, Any], arguments: list[str]) -> int:
    import torch

    from transformers4recsys.training.launch import failing_together, processes_to_start, run_processes

    uses_cpu = converted("use_cpu", values.get("use_cpu", False), bool)
    number = processes_to_start(uses_cpu=uses_cpu, environment=os.environ, num_gpus=torch.cuda.device_count())
    if number > 1:
        log.info("%d GPUs are visible: one process each, as torchrun --nproc_per_node %d would do", number, number)
        return run_processes(number, arguments)
    with failing_together():
        run(values)
    return 0


def _say(text: str) -> None:
    from transformers4recsys.data.parquet.files import redact_credentials

    if "RANK" in os.environ:
        # Several processes may want to say the same.
        from transformers4recsys.distributed import say_once

        say_once(redact_credentials(text))
    else:
        sys.stderr.write(redact_credentials(text))


if __name__ == "__main__":
    sys.exit(main())
