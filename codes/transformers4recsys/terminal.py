"""What a person at the terminal sees, log lines, progress bars and results; and plain lines in a pipe."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from rich.console import Console, RenderableType
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Wider than any result: in a pipe no line is wrapped.
WIDTH_OF_A_PIPE = 10_000


@cache
def console() -> Console:
    """The console that log lines and bars share, so that neither tears the other; results go to stdout."""
    return Console(stderr=True)


def show_log_lines(filters: Sequence[logging.Filter] | None = None) -> None:
    """Send the program's own log lines to the console, errors alone from all processes but the first.

    They go through `filters`; without any, through those of the call before.
    """
    logger = logging.getLogger("transformers4recsys")
    kept = [each for handler in logger.handlers for each in handler.filters] if filters is None else filters
    handler = _log_lines()
    for each in kept:
        handler.addFilter(each)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if _is_first_process() else logging.ERROR)
    logger.propagate = False


def show_result(result: RenderableType) -> None:
    """Write a result to stdout; where that is not a terminal, lines are neither wrapped nor padded."""
    of_stdout = Console()
    if of_stdout.is_terminal:
        of_stdout.print(result)
        return
    wide = Console(width=WIDTH_OF_A_PIPE)
    with wide.capture() as captured:
        wide.print(result)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, such as "1 day" and "2 days"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar of `total` steps on a terminal; the function given back moves it on by one."""
    # Older versions of rich end a bar that is not shown with an empty line.
    if not (_is_first_process() and console().is_terminal):
        yield lambda: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)


def _is_first_process() -> bool:
    # By the launcher's word: this module is also used without torch, and before the processes have met.
    return os.environ.get("RANK", "0") == "0"


class _PlainLines(logging.Handler):
    """Writes each record as it is, behind its time."""

    def emit(self, record: logging.LogRecord) -> None:
        # The console knows what stderr is now; a stream handler keeps what it was.
        console().file.write(f"{self.format(record)}\n")


def _log_lines() -> logging.Handler:
    if console().is_terminal:
        return RichHandler(console=console(), show_path=False, show_level=False, log_time_format="%H:%M:%S")
    handler = _PlainLines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler
