"""Types of columns."""

from typing import Any, TypeAlias

DataType: TypeAlias = Any

def __getattr__(name: str) -> Any: ...
