"""What is written to a pipe, and to a terminal: whole lines in the one, wrapped ones in the other."""

from __future__ import annotations

import logging
import re

import pytest
from rich.table import Table

from transformers4recsys import terminal
from transformers4recsys.terminal import counted, progress_bar, show_log_lines, show_result

LONG = "word " * 60


@pytest.fixture
def log_lines():
    """Send log lines where the program does, and put things back."""
    logger = logging.getLogger("transformers4recsys")
    before = logger.handlers, logger.level, logger.propagate
    terminal.console.cache_clear()
    yield show_log_lines
    terminal.console.cache_clear()
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def table() -> Table:
    table = Table("name", "content", title="All of it")
    table.add_row("short", "x")
    table.add_row("long", LONG.strip())
    return table


def test_results_in_a_pipe_are_neither_wrapped_nor_padded(capsys):
    show_result(table())
    lines = capsys.readouterr().out.splitlines()
    assert sum("word" in line for line in lines) == 1 and LONG.strip() in "".join(lines)
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_bar_writes_nothing_to_a_pipe(capsys):
    terminal.console.cache_clear()
    with progress_bar("train", total=2) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_results_at_a_terminal_keep_to_its_width(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    show_result(table())
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert sum("word" in line for line in lines) > 5 and max(map(len, lines)) <= 60


def test_log_lines_in_a_pipe_are_one_line_each_behind_the_time(log_lines, capsys):
    log_lines()
    log = logging.getLogger("transformers4recsys.some.module")
    log.info("%s: %s", "2019-10-02", LONG)
    log.debug("not this")
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d 2019-10-02: (word ){60}", line)


def test_other_processes_than_the_first_log_errors_alone(log_lines, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    log_lines()
    log = logging.getLogger("transformers4recsys.some.module")
    log.warning("too many")
    log.error("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" once")


def test_one_day_and_two_days():
    assert [counted(number, "day") for number in (0, 1, 2)] == ["0 days", "1 day", "2 days"]
