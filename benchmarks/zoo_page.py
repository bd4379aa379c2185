"""The page and the picture that the zoo's table becomes."""

from pathlib import Path


def write_page(path: Path, rows: list[dict[str, str]]) -> None: ...
def write_plot(path: Path, rows: list[dict[str, str]]) -> None: ...
