"""Columns and types of raw files, compared before the files are read as one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from transformers4recsys.data.parquet.files import open_parquet
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing.recipe import Recipe

WHOLE, LARGE, FLOAT, TEXT, MISSING = "whole numbers", "whole numbers of 64 bits without a sign", "floats", "text", ""
NUMBERS = {WHOLE, LARGE, FLOAT, "decimals"}
# What Spark and others write of a column into the names of folders.
FOLDER_VALUE = re.compile(r"([^/=]+)=[^/]*/")
CURES = {
    WHOLE: "write whole numbers in all files (in pandas, .astype('Int64') keeps gaps)",
    TEXT: "write text in all files",
}


def of_parquet(path: str) -> dict[str, str]:
    """Give the kind of each column of a parquet file, and of those that the names of its folders hold."""
    with open_parquet(path) as file:
        schema = file.schema_arrow
    folders = dict.fromkeys(FOLDER_VALUE.findall(path), MISSING)
    return folders | {field.name: kind_of(field.type) for field in schema}


def kind_of(kind: pa.DataType) -> str:
    """Name a type as far as it matters whether two files can be read as one."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    kinds = {
        MISSING: types.is_null,
        LARGE: types.is_uint64,
        WHOLE: types.is_integer,
        FLOAT: types.is_floating,
        "decimals": types.is_decimal,
        TEXT: lambda kind: types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind),
        "times": types.is_timestamp,
        "dates": types.is_date,
    }
    return next((name for name, holds in kinds.items() if holds(kind)), str(kind))


def compare(files: Mapping[str, Mapping[str, str]], recipe: Recipe) -> None:
    """Raise InputError if the files, by name, differ in whether or how they hold a column that the recipe names."""
    numeric = {recipe.price_column, *recipe.numeric_columns}
    for setting, column in recipe.raw_columns:
        have = [name for name, kinds in files.items() if column in kinds]
        lack = [name for name in files if name not in have]
        if have and lack:
            there = ", ".join(files[lack[0]])
            raise InputError(
                f"`{setting}`: {_listed(lack)} {'has' if len(lack) == 1 else 'have'} no column {column}, which "
                f"{_listed(have)} {'has' if len(have) == 1 else 'have'}; there are {there}. Give it one name in all "
                "files, or choose the files to read by `files`"
            )
        _compare_case(files, setting, column)
        by_kind: dict[str, list[str]] = {}
        for name in have:
            kind = files[name][column]
            # Whole numbers and floats are read as the same numbers, but not as the same ids.
            kind = "numbers" if column in numeric and kind in NUMBERS else kind
            if kind != MISSING:
                by_kind.setdefault(kind, []).append(name)
        if len(by_kind) > 1:
            (one, ones), (other, others), *_ = by_kind.items()
            cure = CURES.get(WHOLE if {one, other} <= NUMBERS else TEXT if TEXT in (one, other) else "", "")
            raise InputError(
                f"`{setting}`: column {column} holds {one} in {_listed(ones)} and {other} in {_listed(others)}; "
                f"{cure or 'write one type in all files'}"
            )


def _compare_case(files: Mapping[str, Mapping[str, str]], setting: str, column: str) -> None:
    """Databases take names that differ in capitals for the same."""
    for name, kinds in files.items():
        alike = [other for other in kinds if other != column and other.lower() == column.lower()]
        if column in kinds and alike:
            raise InputError(
                f"`{setting}`: {name} has the columns {column} and {alike[0]}, which differ in capitals alone; give "
                "one another name"
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return (", ".join(names[:2]) + more) if more else " and ".join(names)
