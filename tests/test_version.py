"""The version is written once, in pyproject.toml."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from transformers4recsys import version


def test_without_an_installed_package_the_source_says_it(monkeypatch):
    def fail(name):
        raise PackageNotFoundError(name)

    written = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["version"]
    monkeypatch.setattr(version, "installed_version", fail)
    assert version.version() == written
