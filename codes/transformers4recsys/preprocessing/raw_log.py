"""The raw files of one call as one table: compared, checked line by line where it takes no database, and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import ibis
from ibis.expr import types as ir

from transformers4recsys.data.parquet.files import redact_credentials
from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import dialect, file_columns, text_files
from transformers4recsys.preprocessing.dialect import Dialect
from transformers4recsys.preprocessing.engines.protocol import Database, Unreadable
from transformers4recsys.preprocessing.raw_files import to_local
from transformers4recsys.preprocessing.recipe import Recipe

log = logging.getLogger(__name__)
MEND_OR_ASK = (
    "mend the line, check `separator`, `quote` and `column_names`, or leave broken lines out by `bad_lines` skip"
)


@dataclass(frozen=True)
class RawFile:
    """A raw file: its name in messages, the path at which it, or a copy in UTF-8, is read, and how it is written."""

    name: str
    path: str
    encoding: str = "utf-8"
    dialect: Dialect | None = None
    num_broken: int = 0


@dataclass(frozen=True)
class RawLog:
    """Files of one kind that can be read as one table, with the column FILE: the place of the row's file in `files`."""

    kind: str
    files: Sequence[RawFile]
    recipe: Recipe
    # By what stands in FILE.
    by_path: Mapping[str, RawFile] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_path", {file.path: file for file in self.files})

    @property
    def num_broken(self) -> int:
        return sum(file.num_broken for file in self.files)

    def table(self, database: Database, files: Sequence[RawFile] | None = None) -> ir.Table:
        """Open all files, or some, as one table."""
        chosen = self.files if files is None else files
        names = tuple(sorted({column for _, column in self.recipe.raw_columns}))
        if self.kind != "csv":
            paths = [file.path for file in chosen]
            return database.read(self.kind, paths, columns=names if self.kind == "json" else (), has_file=True)
        by_dialect: dict[Dialect | None, list[str]] = {}
        for file in chosen:
            by_dialect.setdefault(file.dialect, []).append(file.path)
        tables = [database.read("csv", paths, dialect=each, has_file=True) for each, paths in by_dialect.items()]
        if len(tables) > 1:
            kept = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
            tables = [table.select(*kept) for table in tables]
        return reduce(lambda one, other: one.union(other), tables)

    def explained(self, error: Unreadable, cure: str = MEND_OR_ASK) -> InputError:
        """Name the first broken line, as plain reading finds it, and the cure; else give the error as it is."""
        for file in self.files if self.kind != "parquet" else ():
            broken = text_files.first_broken(file.path, file.dialect)
            if broken:
                how = f" (read with {file.dialect.described()})" if file.dialect else ""
                return InputError(
                    f"{file.name}, line {broken.line}: {broken.fault}{how}: {text_files.shown(broken.text)}; {cure}"
                )
        text = str(error)
        for file in self.files:
            text = text.replace(file.path, file.name)
        return InputError(text)

    def first_row(
        self, database: Database, file: RawFile, choose: Callable[[ir.Table], tuple[ir.BooleanValue, ir.Value]]
    ) -> tuple[int, str]:
        """Find the first row of a file, from 1, where a condition holds, and the value there."""
        table = self.table(database, [file])
        is_chosen, value = choose(table)
        numbered = table.select(value=value.cast("string"), is_chosen=is_chosen, number=ibis.row_number())
        found = numbered.filter(numbered["is_chosen"]).order_by("number").limit(1)
        (row,) = database.rows(found.select("number", "value"))
        return row["number"] + 1, row["value"]


def opened(kind: str, files: Sequence[str], recipe: Recipe, folder: Path) -> RawLog:
    """Make raw files readable, compare them, and say how they are written; copies go to `folder`.

    Raise InputError where they cannot be read as one log.
    """
    folder.mkdir(exist_ok=True)
    paths = to_local(files, folder)
    names = {file: redact_credentials(file) for file in files}
    if kind == "parquet":
        found = [RawFile(names[file], path) for file, path in paths.items()]
        file_columns.compare({file.name: file_columns.of_parquet(file.path) for file in found}, recipe)
        return RawLog(kind, found, recipe)
    found = [
        _text_file(kind, names[file], path, recipe, folder / f"text-{number}")
        for number, (file, path) in enumerate(paths.items())
    ]
    if kind == "csv":
        file_columns.compare(
            {file.name: dict.fromkeys(file.dialect.columns, file_columns.TEXT) for file in found if file.dialect},
            recipe,
        )
    _tell(found, recipe)
    return RawLog(kind, found, recipe)


def _text_file(kind: str, name: str, path: str, recipe: Recipe, place: Path) -> RawFile:
    encoding = text_files.encoding_of(path, recipe.encoding)
    place = place.with_suffix(f".{kind}")
    found = None
    if recipe.bad_lines == "refuse":
        path = text_files.readable(path, name, encoding, place)
    if kind == "csv":
        wanted = [column for _, column in recipe.raw_columns]
        is_copied = recipe.bad_lines == "refuse"
        lines = text_files.sample(path, "utf-8" if is_copied else encoding)
        found = dialect.found(
            lines, separator=recipe.separator, quote=recipe.quote, names=recipe.column_names, wanted=wanted
        )
        found = dialect.checked(found, name, wanted)
        if not found.columns:
            raise InputError(f"{name} is empty: it has no header; leave it out, or choose the files by `files`")
    if recipe.bad_lines == "skip":
        num_broken = text_files.without_broken_lines(path, encoding, found, place)
        return RawFile(name, str(place), encoding, found, num_broken)
    return RawFile(name, path, encoding, found)


def _tell(files: Sequence[RawFile], recipe: Recipe) -> None:
    """Say on the console how the files are written, each way once."""
    by_way: dict[str, list[str]] = {}
    for file in files:
        if file.dialect:
            by_way.setdefault(f"{file.dialect.described()}, {file.encoding}", []).append(file.name)
    for way, names in by_way.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        log.info("%s%s: CSV, %s, decimal sign %r", names[0], more, way, recipe.decimal)
    for file in files:
        if file.num_broken:
            log.warning("%s: %d broken lines are left out (`bad_lines` skip)", file.name, file.num_broken)
