"""The help pages: an overview of the commands, and the flags of one of them."""

from __future__ import annotations

import shutil
import sys
import textwrap
from importlib import import_module
from typing import Any

from transformers4recsys.commands import COMMANDS
from transformers4recsys.flags import as_flags
from transformers4recsys.settings import Rule, classes_of, names_of, own_settings
from transformers4recsys.stand_ins import without_libraries

PROGRAM = "transformers4recsys"
FILE_USAGE = "flags.yaml (or .json) [--flag value ...]"
# Heavy libraries: where one is imported already, nothing is gained by standing in for it.
HEAVY = ("torch", "ibis", "pyarrow")
# Wider than any line: in a pipe none is wrapped.
WIDTH_OF_A_PIPE = 10_000


def overview() -> str:
    """List the commands."""
    rows = [f"  {name:12}{command.summary}" for name, command in COMMANDS.items()]
    usage = f"usage: {PROGRAM} COMMAND --flag value ..."
    return "\n".join([usage, "", *rows, "", f"{PROGRAM} COMMAND --help lists the flags; --version, the version.", ""])


def help_page(name: str) -> str:
    """Lay out the flags of one command, without importing what it uses to work."""
    if any(library in sys.modules for library in HEAVY):
        return _page(name)
    try:
        with without_libraries():
            return _page(name)
    except Exception:
        # A module that cannot be imported so: slower, but the page comes.
        return _page(name)


def _page(name: str) -> str:
    command = COMMANDS[name]
    settings = import_module(f"{PROGRAM}.commands.{command.module}").SETTINGS
    leading = getattr(settings, "leading", None)
    usages = [f"{leading.upper()} ... [--flag value ...]"] if leading else ["--flag value ...", FILE_USAGE]
    lines = [
        *(
            _wrapped(f"{'' if number else 'usage: '}{PROGRAM} {name} {usage}", 7 * bool(number))
            for number, usage in enumerate(usages)
        ),
        "",
        _wrapped(f"{command.summary[0].upper()}{command.summary[1:]}.", 0),
        "",
    ]
    for of in classes_of(settings):
        lines += [*_section(of), ""]
    return as_flags("\n".join(lines), set(names_of(settings)))


def _section(of: type) -> list[str]:
    lines = [_wrapped((of.__doc__ or "").splitlines()[0], 0), ""]
    listed: dict[str, list[str]] = {}
    for field, rule in own_settings(of):
        if rule.heading:
            listed.setdefault(rule.heading, []).append(f"--{field.name}")
        else:
            lines += [f"  --{field.name}", _wrapped(_about(rule) + _default(field.default), 6)]
    for heading, names in listed.items():
        lines += ["", _wrapped(f"{heading}:", 2), _wrapped(" ".join(sorted(names)), 6)]
    return lines


def _about(rule: Rule) -> str:
    if not rule.choices:
        return rule.help
    more = ", or an architecture of the transformers library" if rule.has_more_choices else ""
    return f"{rule.help} ({', '.join(rule.names)}{more})"


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    words = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
    return f" [{' '.join(map(str, words)) if isinstance(words, tuple) else words}]"


def _wrapped(text: str, indent: int) -> str:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    space = " " * indent
    return textwrap.fill(
        text, max(width - 1, 40), initial_indent=space, subsequent_indent=space, break_on_hyphens=False
    )
