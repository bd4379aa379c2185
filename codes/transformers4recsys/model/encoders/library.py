"""The transformers library, of which each part is imported when it is first used, which takes seconds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import transformers as transformers
else:

    class _Library:
        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("transformers"), name)

    transformers = _Library()
