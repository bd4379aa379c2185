"""From a command line, or a JSON or YAML file of flags, to settings, to the run."""

from __future__ import annotations

import dataclasses
import difflib
import json
import logging
import os
import re
import sys
import textwrap
from argparse import Action
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

import torch
import transformers
import yaml
from transformers import HfArgumentParser

from transformers4recsys.commands import benchmark as build_benchmark
from transformers4recsys.commands import preprocess as build_preprocessing
from transformers4recsys.commands import train as build
from transformers4recsys.config import (
    BenchmarkArguments,
    DataArguments,
    ModelArguments,
    PreprocessArguments,
    SimulateArguments,
    TrainingArguments,
)
from transformers4recsys.data.parquet.files import redact_credentials
from transformers4recsys.distributed import say_once
from transformers4recsys.errors import DivergedError, InputError
from transformers4recsys.terminal import show_log_lines
from transformers4recsys.training.launch import failing_together, processes_to_start, run_processes

log = logging.getLogger(__name__)

PROGRAM = "transformers4recsys"
LIBRARY_FLAGS = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}


@dataclass(frozen=True)
class Command:
    """A subcommand: what it does in a line, the settings it reads, and the function that runs them."""

    summary: str
    settings: tuple[Any, ...]
    run: Callable[..., None]
    uses_gpus: bool = False


COMMANDS = {
    "simulate": Command(
        "write the raw click log of a made-up shop", (SimulateArguments,), build_preprocessing.simulate
    ),
    "preprocess": Command(
        "turn raw logs into day files of sessions", (PreprocessArguments,), build_preprocessing.preprocess
    ),
    "train": Command(
        "train on day t, evaluate on day t+1, move on",
        (DataArguments, ModelArguments, TrainingArguments),
        build.train,
        uses_gpus=True,
    ),
    "benchmark": Command("measure speed and memory on this machine", (BenchmarkArguments,), build_benchmark.benchmark),
}


class FlagParser(HfArgumentParser):
    """Parses flags into settings; every mistake is an InputError that says what to write instead."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")

    def _get_option_tuples(self, option_string: str) -> list[tuple[Action, str, str | None]]:
        # --log_pred stands for --log_predictions alone, though --log-predictions is spelt out too.
        matches = super()._get_option_tuples(option_string)
        return matches[:1] if len({id(match[0]) for match in matches}) == 1 else matches

    def settings_of(self, arguments: list[str]) -> tuple[Any, ...]:
        """Parse flags, the first of which may come from a JSON or YAML file."""
        *settings, unknown = self.parse_args_into_dataclasses(
            expand_config_file(arguments), return_remaining_strings=True
        )
        for word in unknown:
            self._refuse(word)
        return tuple(settings)

    def _refuse(self, word: str) -> None:
        names = [name for name in self._option_string_actions if "-" not in name.removeprefix("--")]
        near = difflib.get_close_matches(word.split("=")[0].replace("-", "_").replace("__", "--", 1), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; --help lists the known ones"
        raise InputError(f"{word!r} is not a flag of this command{hint}")


def expand_config_file(arguments: list[str]) -> list[str]:
    """Put the flags that a JSON or YAML file holds in its place, before those that follow it and overrule it."""
    # A launcher may put the rank in front.
    ranks = list(takewhile(lambda word: word.startswith(("--local-rank=", "--local_rank=")), arguments))
    file, *flags = arguments[len(ranks) :] or [""]
    if not file.endswith((".json", ".yaml", ".yml")):
        return arguments
    if flags and not flags[0].startswith("-"):
        raise InputError(f"{flags[0]!r} stands behind {file}, where only flags may; give --name {flags[0]}")
    return [*flags_of_file(Path(file)), *flags, *ranks]


def flags_of_file(path: Path) -> list[str]:
    """Read `name: value` pairs of a JSON or YAML file as the command line would spell them."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a JSON or YAML file of flags") from error
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `flag: value` pairs, found a {type(values).__name__}")
    flags = []
    for name, value in values.items():
        if value is not None:
            words = value if isinstance(value, list) else [value]
            flags += [f"--{name}", *(json.dumps(word) if isinstance(word, dict) else str(word) for word in words)]
    return flags


def help_page(name: str, command: Command) -> str:
    """Lay out the flags of one command, ours a line each, the library's by name."""
    lines = [
        f"usage: {PROGRAM} {name} --flag value ...",
        f"       {PROGRAM} {name} flags.yaml (or .json) [--flag value ...]",
    ]
    lines += ["", f"{command.summary[0].upper()}{command.summary[1:]}.", ""]
    for settings in command.settings:
        lines += [(settings.__doc__ or "").splitlines()[0], ""]
        own = [field for field in dataclasses.fields(settings) if "help" in field.metadata]
        own = [
            field
            for field in own
            if settings is not TrainingArguments or field.metadata.get("help") and _is_ours(field)
        ]
        for field in own:
            choices = field.metadata.get("choices")
            about = field.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
            default = "" if field.default in (None, dataclasses.MISSING) else f" [{_spelt(field.default)}]"
            body = textwrap.fill(about + default, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
            lines += [f"  --{field.name}", body]
        lines.append("")
    if TrainingArguments in command.settings:
        ours = {field.name for field in dataclasses.fields(TrainingArguments) if _is_ours(field)}
        names = " ".join(f"--{name}" for name in sorted(LIBRARY_FLAGS - ours))
        lines += ["All of Hugging Face TrainingArguments, with the library's meaning and defaults", ""]
        lines += [textwrap.fill(names, 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False), ""]
    return "\n".join(lines)


def _is_ours(field: dataclasses.Field) -> bool:
    theirs = {f.name: f for f in dataclasses.fields(transformers.TrainingArguments)}.get(field.name)
    return theirs is None or theirs.metadata.get("help") != field.metadata.get("help")


def _spelt(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def overview() -> str:
    """List the commands."""
    rows = [f"  {name:12}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [f"usage: {PROGRAM} COMMAND --flag value ...", "", *rows, "", f"{PROGRAM} COMMAND --help tells the flags.", ""]
    )


def with_dashes(message: str, command: str) -> str:
    """Write the settings that a message names in backticks as the flags of a command."""
    settings = COMMANDS[command].settings if command in COMMANDS else ()
    flags = {field.name for of in settings for field in dataclasses.fields(of)}
    return re.sub(r"`(\w+)`", lambda match: f"--{match[1]}" if match[1] in flags else match[0], message)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 2 for what the user has to mend, 1 where training failed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0
    name, rest = arguments[0], arguments[1:]
    try:
        if name not in COMMANDS:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{name!r} is not a command{hint} There are: {', '.join(COMMANDS)}")
        command = COMMANDS[name]
        if "-h" in rest or "--help" in rest:
            sys.stdout.write(help_page(name, command))
            return 0
        show_log_lines()
        number = (
            processes_to_start(expand_config_file(rest), os.environ, torch.cuda.device_count())
            if command.uses_gpus
            else 1
        )
        if number > 1:
            log.info("%d GPUs are visible: one process each, as torchrun --nproc_per_node %d would do", number, number)
            return run_processes(number, arguments)
        with failing_together():
            command.run(*FlagParser(command.settings, add_help=False).settings_of(rest))
    except InputError as error:
        say_once(f"error: {redact_credentials(with_dashes(str(error), name))}\n")
        return 2
    except DivergedError as error:
        say_once(f"error: {redact_credentials(with_dashes(str(error), name))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
