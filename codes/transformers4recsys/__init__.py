"""Train and evaluate sequence models for next-item recommendation, day after day."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers4recsys.api import preprocess, train
    from transformers4recsys.recommender import Recommender

    __version__: str

# Where each public name comes from; it is imported when it is first asked for.
_MODULE_OF = {
    "Recommender": "transformers4recsys.recommender",
    "preprocess": "transformers4recsys.api",
    "train": "transformers4recsys.api",
}

__all__ = ["Recommender", "preprocess", "train"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("transformers4recsys.version").version()
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
