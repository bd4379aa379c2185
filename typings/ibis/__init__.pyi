"""Ibis: the type of a column is known when a query runs, not before."""

from typing import Any

def __getattr__(name: str) -> Any: ...
