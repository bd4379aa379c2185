"""The version of the program, as pyproject.toml says it."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

NAME = "transformers4recsys"


def version() -> str:
    """Give the version of the installed package, or of the source folder where it is not installed."""
    try:
        return installed_version(NAME)
    except PackageNotFoundError:
        path = Path(__file__).parents[2] / "pyproject.toml"
        return tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
