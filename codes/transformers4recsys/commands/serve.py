"""Serves a run folder over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers4recsys.serving.server import ServeSettings, serve
from transformers4recsys.settings import from_values

SETTINGS = ServeSettings


def run(values: Mapping[str, Any]) -> None:
    """Serve a run folder over HTTP until the process is asked to end."""
    serve(from_values(ServeSettings, values))
