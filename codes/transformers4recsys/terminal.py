"""What a person at the terminal sees while the program works: log lines and progress bars on one console."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from transformers4recsys import distributed


@cache
def console() -> Console:
    """The console that log lines and bars share, so that neither tears the other; results go to stdout."""
    return Console(stderr=True)


def show_log_lines() -> None:
    """Send the program's own log lines to the console, errors alone from all processes but the first."""
    logger = logging.getLogger("transformers4recsys")
    logger.handlers = [RichHandler(console=console(), show_path=False, show_level=False, log_time_format="%H:%M:%S")]
    logger.setLevel(logging.INFO if distributed.is_main() else logging.ERROR)
    logger.propagate = False


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar of `total` steps on a terminal; the function given back moves it on by one."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    is_shown = distributed.is_main() and console().is_terminal
    with Progress(*columns, console=console(), transient=True, disable=not is_shown) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)
