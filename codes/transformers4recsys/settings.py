"""Settings: fields of frozen dataclasses with default, help and check, and their values from YAML, JSON and flags."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import numbers
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field
from functools import cache
from typing import Any, Literal, TypeVar

from transformers4recsys.errors import InputError

Settings = TypeVar("Settings")
Choice = TypeVar("Choice")
Names = Iterable[str] | Callable[[], Iterable[str]]
IfChanged = Literal["report", "ignore", "refuse"]


class Alone(str):
    """What a flag without a value stands for: yes, and nothing but that."""


ALONE = Alone("true")
# Smaller sizes leave no byte for the parts that memory is shared out to.
LEAST_BYTES = 1_000
TRUE, FALSE = ("true", "yes", "on", "y", "t", "1"), ("false", "no", "off", "n", "f", "0")
WORDS_OF_TYPE = {
    bool: "yes or no",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a mapping",
    Mapping: "a mapping",
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a setting is for, which values it may have, and when it has an effect."""

    help: str
    choices: Names | None = None
    has_more_choices: bool = False
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    is_bytes: bool = False
    used_if: Callable[[Any], bool] | None = None
    unused_because: str = ""
    heading: str = ""
    if_changed: IfChanged | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The allowed names, of a table or a function that gives one (where the table stands further down)."""
        return tuple(self.choices() if callable(self.choices) else self.choices or ())


def setting(
    default: Any,
    help: str,
    *,
    choices: Names | None = None,
    has_more_choices: bool = False,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    is_bytes: bool = False,
    used_if: Callable[[Any], bool] | None = None,
    unused_because: str = "",
    heading: str = "",
    if_changed: IfChanged | None = None,
) -> Any:
    """Declare a field: default, help text and check. With `has_more_choices` names beyond the listed ones are allowed.

    `used_if` is a function of the dataclass: where it is false, a value other than the default has no effect, because
    of `unused_because`. Settings with a `heading` are listed by name under it in help pages, without their help text.
    `if_changed` is what becomes of another value when something goes on from earlier output: it is reported, ignored
    (it changes nothing there) or refused; without it, the settings of a run are reported and those of a recipe refused.
    """
    bounds = (at_least, above, at_most, below)
    rule = Rule(help, choices, has_more_choices, *bounds, is_bytes, used_if, unused_because, heading, if_changed)
    return dataclasses.field(default=default, metadata={"rule": rule})


def only_in_files(default_factory: Callable[[], Any]) -> Any:
    """Declare a field that files and Python may give, and that is not a flag."""
    return dataclasses.field(default_factory=default_factory, metadata={"is_only_in_files": True})


def part(of: type) -> Any:
    """Declare a field that holds settings of another dataclass; a command has the flags of all of them."""
    return dataclasses.field(default_factory=of, metadata={"part": of})


@dataclasses.dataclass(frozen=True)
class Parts:
    """Settings of several dataclasses, by class."""

    by_class: Mapping[type, Any]

    def __getitem__(self, of: type[Settings]) -> Settings:
        return self.by_class.get(of) or of()


def parts(of: Callable[[], Iterable[type]]) -> Any:
    """Declare a field of Parts, one for each class; a table of components can add its own."""
    return dataclasses.field(default_factory=lambda: Parts({each: each() for each in of()}), metadata={"parts": of})


def check(settings: Any) -> None:
    """Bring the values to the types of their fields, for __post_init__; InputError if one breaks the field's rule."""
    for field, rule in own_settings(type(settings)):
        value = getattr(settings, field.name)
        if value is not None and value is not field.default:
            value = converted(field.name, value, _types_of(type(settings))[field.name])
            object.__setattr__(settings, field.name, value)
            if value != field.default:
                _check_value(field.name, value, rule)


def _check_value(name: str, value: Any, rule: Rule) -> None:
    if rule.is_bytes:
        num_bytes(value, name)
    if rule.choices is not None and not rule.has_more_choices:
        for each in value if isinstance(value, tuple | list) else (value,):
            choose(dict.fromkeys(rule.names), each, name)
    bounds = [
        (rule.at_least, "at least", lambda least: value >= least),
        (rule.above, "above", lambda least: value > least),
        (rule.at_most, "at most", lambda most: value <= most),
        (rule.below, "below", lambda most: value < most),
    ]
    if not all(holds(bound) for bound, _, holds in bounds if bound is not None):
        allowed = " and ".join(f"{words} {bound:g}" for bound, words, _ in bounds if bound is not None)
        raise InputError(f"`{name}` {value}: must be {allowed}")


def choose(table: Mapping[str, Choice], name: str, setting: str, *, also: str = "") -> Choice:
    """Look a choice up; InputError names the nearest one, all there are, and what may be given `also`."""
    if name in table:
        return table[name]
    near = nearest(name, table)
    hint = f"did you mean {near}? There are" if near else "choose one of"
    raise InputError(f"`{setting}` {name!r} is unknown; {hint} {', '.join(sorted(table))}{also and ', ' + also}")


def nearest(name: Any, known: Iterable[str]) -> str | None:
    """Give the known name that is likely meant: a very like one, the first that goes on from it, or a like one."""
    given, names = str(name), list(known)
    longer = [each for each in names if given and each.startswith(given)]
    alike = (
        difflib.get_close_matches(given, names, n=1, cutoff=0.8) or longer or difflib.get_close_matches(given, names)
    )
    return next(iter(alike), None)


def required(settings: Any, *names: str) -> None:
    """Raise InputError if a setting was not given."""
    missing = [f"`{name}`" for name in names if not getattr(settings, name)]
    if missing:
        raise InputError(f"{', '.join(missing)} must be given")


def num_bytes(value: Any, name: str) -> int:
    """Give the bytes that 500MB or 1.5GB stand for; InputError if `value` is not a size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])B", str(value).strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1_000 ** (1 + "KMGT".index(match[2].upper()))) if match else 0
    if size < LEAST_BYTES:
        raise InputError(f"`{name}` {value}: write a size of 1KB or more in KB, MB, GB or TB, such as 500MB or 1.5GB")
    return size


@cache
def own_settings(of: type) -> tuple[tuple[Field[Any], Rule], ...]:
    """List the settings of one dataclass, without those of its parts."""
    return tuple((field, field.metadata["rule"]) for field in dataclasses.fields(of) if "rule" in field.metadata)


def classes_of(of: type) -> Iterator[type]:
    """List the dataclasses that settings are made of, in order."""
    if own_settings(of):
        yield of
    for field in dataclasses.fields(of):
        inner = [field.metadata["part"]] if "part" in field.metadata else field.metadata.get("parts", tuple)()
        for each in inner:
            yield from classes_of(each)


def names_of(of: type) -> list[str]:
    """List the names of all settings, those of the parts among them."""
    return [field.name for each in classes_of(of) for field, _ in own_settings(each)]


def objects_of(settings: Any) -> Iterator[Any]:
    """List the objects that hold the settings, in the order of `classes_of`."""
    if own_settings(type(settings)):
        yield settings
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if "part" in field.metadata:
            yield from objects_of(value)
        elif "parts" in field.metadata:
            for each in value.by_class.values():
                yield from objects_of(each)


def as_values(settings: Any) -> dict[str, Any]:
    """Give every setting by name, in the types of JSON."""
    return {
        field.name: list(value) if isinstance(value := getattr(each, field.name), tuple) else value
        for each in objects_of(settings)
        for field, _ in own_settings(type(each))
    }


def changed(settings: Any) -> dict[str, Any]:
    """Give the settings that differ from their defaults."""
    return {
        field.name: getattr(each, field.name)
        for each in objects_of(settings)
        for field, _ in own_settings(type(each))
        if getattr(each, field.name) != field.default
    }


def if_changed(of: type) -> dict[str, IfChanged | None]:
    """Say of every setting what becomes of another value than that of earlier output."""
    return {field.name: rule.if_changed for each in classes_of(of) for field, rule in own_settings(each)}


def unused(settings: Any) -> dict[str, str]:
    """Give the settings that differ from their defaults and have no effect, each with the reason."""
    return {
        field.name: rule.unused_because
        for each in objects_of(settings)
        for field, rule in own_settings(type(each))
        if rule.used_if and getattr(each, field.name) != field.default and not rule.used_if(each)
    }


def from_values(of: type[Settings], values: Mapping[str, Any], *, where: str = "") -> Settings:
    """Make settings of values as they stand in YAML, JSON or on a command line; None and what is not given is default.

    `where` says in messages where the values come from. An unknown name is an InputError.
    """
    check_names(of, values, where=where)
    return pick(of, values)


def check_names(of: type, names: Iterable[Any], *, where: str = "") -> None:
    """Raise InputError if one of the names is not a setting, with what to write in its place."""
    known, former = [*names_of(of), *_names_in_files(of)], former_names_of(of)
    for name in names:
        if name in known:
            continue
        near = nearest(name, known)
        hint = former.get(str(name)) or (f"did you mean `{near}`?" if near else f"there are {', '.join(known)}")
        raise InputError(f"{where + ': ' if where else ''}unknown setting {name!r}; {hint}")


def _names_in_files(of: type) -> list[str]:
    all_fields = [field for each in classes_of(of) for field in dataclasses.fields(each)]
    return [field.name for field in all_fields if field.metadata.get("is_only_in_files")]


def former_names_of(of: type) -> dict[str, str]:
    """Give what to write in place of names that settings had once (`former_names` of the dataclasses)."""
    return {name: cure for each in classes_of(of) for name, cure in vars(each).get("former_names", {}).items()}


def pick(of: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Make settings of those values that have their names, and leave the others."""
    given: dict[str, Any] = {}
    hints = _types_of(of)
    for field in dataclasses.fields(of):  # pyright: ignore[reportArgumentType]
        if "part" in field.metadata:
            given[field.name] = pick(field.metadata["part"], values)
        elif "parts" in field.metadata:
            given[field.name] = Parts({each: pick(each, values) for each in field.metadata["parts"]()})
        elif "rule" in field.metadata and values.get(field.name) is not None:
            given[field.name] = converted(field.name, values[field.name], hints[field.name])
        elif field.metadata.get("is_only_in_files") and values.get(field.name) is not None:
            given[field.name] = converted(field.name, values[field.name], hints[field.name])
    return of(**given)


@cache
def _types_of(of: type) -> dict[str, Any]:
    return typing.get_type_hints(of)


def converted(name: str, value: Any, kind: Any) -> Any:
    """Convert a value by the type of its field; InputError says what was expected."""
    options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    options = [option for option in options if option is not type(None)]
    for option in options:
        try:
            return _as(option, value)
        except ValueError:
            continue
    expected = " or ".join(dict.fromkeys(_words(option) for option in options))
    raise InputError(f"`{name}` {value!r}: expected {expected}")


def _words(kind: Any) -> str:
    if typing.get_origin(kind) in (list, tuple):
        return f"a list, each of {_words(typing.get_args(kind)[0])}"
    return WORDS_OF_TYPE.get(typing.get_origin(kind) or kind, getattr(kind, "__name__", str(kind)))


def _as(kind: Any, value: Any) -> Any:
    """Convert to one type; ValueError where that is not possible without a guess."""
    origin = typing.get_origin(kind) or kind
    if kind is typing.Any:
        return value
    if origin in (list, tuple):
        element = (typing.get_args(kind) or (str,))[0]
        return origin(_as(element, each) for each in _elements(value))
    if origin is bool:
        return _as_bool(value)
    if origin in (int, float):
        return _as_number(origin, value)
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return origin(value)
    if origin is dict and isinstance(value, str) and value.strip().startswith("{"):
        value = json.loads(value)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return value
    if origin is str and not isinstance(value, dict | list | tuple | Alone):
        return _as_text(value)
    raise ValueError


def _elements(value: Any) -> Iterable[Any]:
    if isinstance(value, dict | bool | Alone):
        raise ValueError
    if isinstance(value, str) and value.strip().startswith("["):
        value = json.loads(value)
    return value if isinstance(value, list | tuple) else (value,)


def _as_bool(value: Any) -> bool:
    word = str(value).strip().lower()
    if isinstance(value, bool | int | str) and word in TRUE + FALSE:
        return word in TRUE
    raise ValueError


def _as_number(kind: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
        raise ValueError
    if kind is int and isinstance(value, numbers.Real) and value % 1:
        raise ValueError
    # YAML reads 1e-3 as text.
    return kind(value)


def _as_text(value: Any) -> str:
    # YAML reads a bare `no` as false.
    return {True: "true", False: "no"}[value] if isinstance(value, bool) else str(value)
