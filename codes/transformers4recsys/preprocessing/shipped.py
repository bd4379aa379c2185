"""Recipes that ship with the program, by name: the folders of `datasets` that have a preprocessing.yaml."""

from __future__ import annotations

import difflib
from pathlib import Path

from transformers4recsys.errors import InputError

FILE = "preprocessing.yaml"
PACKAGE = Path(__file__).parents[1]


def folder() -> Path | None:
    """Find `datasets`: installed, it lies inside the package (see setup.py); in a checkout, two folders above it."""
    places = (PACKAGE / "datasets", PACKAGE.parents[1] / "datasets")
    return next((place for place in places if place.is_dir()), None)


def names() -> list[str]:
    """List the recipes there are."""
    place = folder()
    return sorted(path.parent.name for path in place.glob(f"*/{FILE}")) if place else []


def path_of(recipe: str | Path) -> Path:
    """Give the file of a recipe, called by name or by path; raise InputError for a name that none has."""
    path, place = Path(recipe).expanduser(), folder()
    if len(path.parts) > 1 or path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    if place and path.name in names():
        return place / path.name / FILE
    near = difflib.get_close_matches(path.name, names(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    there = ", ".join(names()) or f"none, as there is no folder {PACKAGE / 'datasets'}"
    raise InputError(f"`recipe` {recipe}: no recipe has this name; {hint}There are: {there}. Or give a YAML file")
