"""Help pages: every flag with its choices, as wide as the terminal, and alike with and without the libraries."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from transformers4recsys import help_page
from transformers4recsys.commands import COMMANDS
from transformers4recsys.settings import classes_of, own_settings

CODES = Path(__file__).parents[1] / "codes"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_page_names_every_flag_and_its_choices_and_needs_no_library(command):
    page = help_page.help_page(command)
    for of in classes_of(import_module(f"transformers4recsys.commands.{COMMANDS[command].module}").SETTINGS):
        for field, rule in own_settings(of):
            assert f"--{field.name}" in page
            assert rule.heading or not rule.choices or ", ".join(rule.names) in page
    assert "`" not in page.replace("`transformers4recsys", "")
    fresh = [sys.executable, "-m", "transformers4recsys", command, "--help"]
    run = subprocess.run(fresh, cwd=CODES, capture_output=True, text=True)
    assert run.stdout == page and run.stderr == ""


def test_a_page_is_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(help_page.shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    lines = help_page.help_page("train").splitlines()
    assert 50 < max(map(len, lines)) < 60


def test_a_module_that_cannot_be_imported_without_libraries_is_imported_with_them(monkeypatch):
    monkeypatch.setattr(help_page, "HEAVY", ())
    pages = iter([RuntimeError("stand-ins do not do"), "the page"])

    def page(name):
        result = next(pages)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(help_page, "_page", page)
    assert help_page.help_page("simulate") == "the page"


def test_the_overview_lists_the_commands():
    assert "  train       train on day t, evaluate on day t+1, move on\n" in help_page.overview()
