"""Pages of results: one look for all, each a single HTML file that needs nothing but itself."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

# What templates include by name: the style, and the macro `table(heads, rows, kind)`.
PARTS = ("page_style.css", "page_table.html")


def render(template: str, values: dict[str, Any]) -> str:
    """Fill a template in; every text in it is escaped, and `| readable` writes values as `readable` does."""
    folder = files("transformers4recsys.reporting")
    parts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in PARTS}
    environment = Environment(
        loader=DictLoader(parts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["readable"] = readable
    return environment.from_string(template).render(values)


def readable(value: Any) -> Any:
    """Write a value as settings files do, a number with commas between thousands, what is missing as a dash."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else value
