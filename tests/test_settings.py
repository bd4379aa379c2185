"""Settings: values of YAML, JSON and the command line become what the field says, and mistakes name the cure."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass

import numpy
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.settings import (
    Parts,
    as_values,
    changed,
    check,
    choose,
    converted,
    from_values,
    if_changed,
    names_of,
    nearest,
    num_bytes,
    only_in_files,
    part,
    parts,
    setting,
    unused,
)


@dataclass(frozen=True)
class Paint:
    """Paint: what covers the wall"""

    color: str = setting("red", "color", choices=lambda: ("red", "green", "blue"), if_changed="refuse")
    layers: int = setting(2, "layers", at_least=1)
    share: float = setting(0.5, "share of water", above=0, below=1)
    thinner: str | None = setting(None, "thinner", used_if=lambda paint: paint.layers > 1, unused_because="one layer")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Brush:
    """Brush: what paints"""

    hairs: tuple[str, ...] = setting((), "kinds of hair")
    weight: float | None = setting(None, "grams")
    owners: Mapping[str, str] = only_in_files(dict)


@dataclass(frozen=True)
class Job:
    """Job"""

    is_urgent: bool = setting(False, "today")
    paint: Paint = part(Paint)
    tools: Parts = parts(lambda: [Brush])


def test_values_reach_the_parts_by_name_alone():
    job = from_values(Job, {"layers": "3", "hairs": "horse", "is_urgent": "no", "weight": "1e-3", "color": None})
    assert job.paint == Paint(layers=3) and not job.is_urgent
    assert job.tools[Brush] == Brush(("horse",), 0.001)
    assert names_of(Job) == ["is_urgent", "color", "layers", "share", "thinner", "hairs", "weight"]
    assert as_values(job)["hairs"] == ["horse"] and from_values(Job, as_values(job)) == job
    assert changed(job) == {"layers": 3, "hairs": ("horse",), "weight": 0.001}


def test_values_given_in_python_are_converted_and_checked_too():
    assert Paint(layers="3", share=numpy.float32(0.25), thinner=5) == Paint("red", 3, 0.25, "5")
    with pytest.raises(InputError, match="`layers` 1.5: expected a whole number"):
        Paint(layers=1.5)


def test_a_mapping_is_no_flag_and_files_and_python_may_give_it():
    assert from_values(Job, {"owners": {"kitchen": "Ann"}}).tools[Brush].owners == {"kitchen": "Ann"}
    assert "owners" not in names_of(Job)
    with pytest.raises(InputError, match="`owners` 'Ann': expected a mapping"):
        from_values(Job, {"owners": "Ann"})


def test_a_setting_says_what_becomes_of_another_value_later():
    assert if_changed(Job) == {**dict.fromkeys(names_of(Job)), "color": "refuse"}


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Paint().layers = 3  # pyright: ignore


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (False, str, "no"),
        ("no", bool, False),
        (1, bool, True),
        ("On", bool, True),
        ("1e-3", float, 0.001),
        (3, float, 3.0),
        (4.0, int, 4),
        (7, str, "7"),
        ("a", list[str], ["a"]),
        ([], tuple[str, ...], ()),
        ([1, "b"], tuple[str, ...], ("1", "b")),
        ('["a", "b"]', list[str], ["a", "b"]),
        ("2.5", list[float], [2.5]),
        ('{"a": 1}', dict | str | None, {"a": 1}),
        ("wandb", None | str | list[str], "wandb"),
        (["a", "b"], None | str | list[str], ["a", "b"]),
    ],
)
def test_values_are_converted_by_the_type_of_the_field(value, kind, expected):
    result = converted("name", value, kind)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("wide", int, "`name` 'wide': expected a whole number"),
        (1.5, int, "`name` 1.5: expected a whole number"),
        (True, float, "`name` True: expected a number"),
        ("maybe", bool, "`name` 'maybe': expected yes or no"),
        ({"a": 1}, tuple[str, ...], "expected a list, each of text"),
        ([1], str, "expected text"),
    ],
)
def test_values_of_another_type_are_refused(value, kind, words):
    with pytest.raises(InputError) as error:
        converted("name", value, kind)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"layers": 0}, "`layers` 0: must be at least 1"),
        ({"share": 1}, "`share` 1.0: must be above 0 and below 1"),
        ({"color": "gren"}, "`color` 'gren' is unknown; did you mean green? There are blue, green, red"),
        ({"color": "xyz"}, "`color` 'xyz' is unknown; choose one of blue, green, red"),
        ({"layer": 1}, "job.yaml: unknown setting 'layer'; did you mean `layers`?"),
    ],
)
def test_a_mistake_names_the_setting_and_the_cure(values, words):
    with pytest.raises(InputError) as error:
        from_values(Job, values, where="job.yaml")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("adam", "adamw_torch"), ("adamw_tohc", "adamw_torch"), ("adalom", "adalomo"), ("grok", "grokadamw"), ("", None)],
)
def test_what_goes_on_from_a_name_is_nearer_than_what_is_somewhat_alike(given, meant):
    assert nearest(given, ["adamw_torch", "adamw_torch_fused", "adalomo", "grokadamw"]) == meant


def test_a_choice_is_looked_up_in_a_table():
    assert choose({"mlp": 1, "attn": 2}, "attn", "inp_merge") == 2


def test_settings_without_effect_are_given_with_the_reason():
    assert unused(from_values(Job, {"layers": 1, "thinner": "water"})) == {"thinner": "one layer"}
    assert unused(from_values(Job, {"thinner": "water"})) == unused(from_values(Job, {"layers": 1})) == {}


def test_sizes_of_memory():
    for text, expected in (("4GB", 4 * 10**9), ("1.5gb", 1_500_000_000), ("20 KB", 20_000), ("500MB", 500 * 10**6)):
        assert num_bytes(text, "memory") == expected
    for text in ("4", "0GB", "0.001KB", "much"):
        with pytest.raises(InputError, match=f"`memory` {text}: write a size of 1KB or more"):
            num_bytes(text, "memory")
