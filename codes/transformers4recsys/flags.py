"""From a command line, or a JSON or YAML file, to values of settings by name; and from names of settings to flags."""

from __future__ import annotations

import logging
import re
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Collection
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from transformers4recsys.errors import InputError
from transformers4recsys.settings import (
    ALONE,
    check_names,
    classes_of,
    former_names_of,
    names_of,
    nearest,
    own_settings,
)
from transformers4recsys.settings_files import FILE_ENDINGS, values_of_file

# A launcher may put the rank in front.
RANK_FLAGS = ("--local-rank=", "--local_rank=")


class FlagParser(ArgumentParser):
    """Parses flags into values by name; every mistake is an InputError that says what to write instead."""

    def __init__(self, settings: type):
        super().__init__(add_help=False, argument_default=SUPPRESS)
        self.settings = settings
        for of in classes_of(settings):
            for field, _ in own_settings(of):
                name = field.name
                self.add_argument(*_spellings(name), dest=name, nargs="*")
                if field.default is True:
                    self.add_argument(*_spellings(f"no_{name}"), dest=name, action="store_const", const=[False])

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")

    def _get_option_tuples(self, option_string: str) -> list[tuple[Action, str, str | None]]:
        # --log_pred stands for --log_predictions alone, though there is --log-predictions too.
        matches = super()._get_option_tuples(option_string)
        return matches[:1] if len({id(match[0]) for match in matches}) == 1 else matches

    def values_of(self, arguments: list[str]) -> dict[str, Any]:
        """Parse flags, the first of which may come from a JSON or YAML file; those that follow it overrule it."""
        # The setting whose values may stand before all flags, where the command has such a one.
        if leading := getattr(self.settings, "leading", None):
            words = list(takewhile(lambda word: not word.startswith("-"), arguments))
            values = self._values_of_flags(arguments[len(words) :])
            return ({leading: _value_of(words)} if words else {}) | values
        ranks = list(takewhile(lambda word: word.startswith(RANK_FLAGS), arguments))
        file, *flags = arguments[len(ranks) :] or [""]
        if not file.endswith(FILE_ENDINGS):
            return self._values_of_flags(arguments)
        if flags and not flags[0].startswith("-"):
            raise InputError(f"{flags[0]!r} stands behind {file}, where only flags may; give --name {flags[0]}")
        from_file = values_of_file(Path(file))
        check_names(self.settings, from_file, where=file)
        return from_file | self._values_of_flags([*flags, *ranks])

    def _values_of_flags(self, flags: list[str]) -> dict[str, Any]:
        parsed, unknown = self.parse_known_args(flags)
        for word in unknown:
            self._refuse(word)
        return {name: _value_of(words) for name, words in vars(parsed).items()}

    def _refuse(self, word: str) -> NoReturn:
        name = word.split("=")[0].removeprefix("--").replace("-", "_")
        former = former_names_of(self.settings).get(name)
        near = nearest(name, names_of(self.settings))
        hint = former or (f"did you mean `{near}`?" if near else "--help lists the known ones")
        raise InputError(f"{word!r} is not a flag of this command; {hint}")


def as_flags(text: str, names: Collection[str]) -> str:
    """Write `name` as --name where it is a flag."""
    return re.sub(r"`(\w+)`", lambda match: f"--{match[1]}" if match[1] in names else match[0], text)


class AsFlags(logging.Filter):
    """Writes names of settings in log lines as flags."""

    def __init__(self, names: Collection[str]):
        super().__init__()
        self.names = names

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = as_flags(record.getMessage(), self.names), None
        return True


def _spellings(name: str) -> list[str]:
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))


def _value_of(words: list[Any]) -> Any:
    return ALONE if not words else words[0] if len(words) == 1 else words
