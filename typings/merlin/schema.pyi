"""merlin.schema has no types, and is installed in an environment of its own."""

from typing import Any

def __getattr__(name: str) -> Any: ...
