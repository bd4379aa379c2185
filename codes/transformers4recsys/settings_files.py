"""Settings as they stand in JSON and YAML files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from transformers4recsys.errors import InputError

FILE_ENDINGS = (".json", ".yaml", ".yml")


def values_of_file(path: Path) -> dict[str, Any]:
    """Read the `name: value` pairs of a JSON or YAML file."""
    try:
        # Some editors put a byte-order mark in front.
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a JSON or YAML file of flags") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `flag: value` pairs, found a {type(values).__name__}")
    return {str(name): value for name, value in values.items()}


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
