"""Import the program's own modules without the libraries that they use: for help pages, which need settings alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PROGRAM = __name__.partition(".")[0]


class _Anything(type):
    """The type of stand-ins for classes, functions and constants: whatever is done to one gives a stand-in."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls

    def __getitem__(cls, key: Any) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __contains__(cls, item: object) -> bool:
        return False

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __add__ = __sub__ = __mul__ = __truediv__ = __radd__ = __rmul__ = __or__


def stand_in(name: str) -> Any:
    """Make a stand-in, which can also be the base of a class."""
    return _Anything(name, (), {})


class _StandInModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


class _Finder(MetaPathFinder, Loader):
    """Finds a stand-in for every module that belongs neither to Python nor to this program."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        root = fullname.partition(".")[0]
        is_stood_in = root != PROGRAM and root not in sys.stdlib_module_names
        return ModuleSpec(fullname, self, is_package=True) if is_stood_in else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def without_libraries() -> Iterator[None]:
    """Import from here on with stand-ins; what was imported so is forgotten at the end."""
    before, finder = set(sys.modules), _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            module = sys.modules.pop(name)
            parent, _, child = name.rpartition(".")
            if vars(sys.modules.get(parent, module)).get(child) is module:
                delattr(sys.modules[parent], child)
