"""How a CSV file is written: found out from its beginning, told, and then true of every line of the file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from transformers4recsys.errors import InputError

# The column that says at which path the file of a row was read.
FILE = "_raw_file"
SEPARATORS = (",", "\t", ";", "|")
NO_QUOTE = "none"
# A character that no log has stands for a separator of several, which the csv module does not know.
ONE_CHARACTER = "\x1f"
# A quote that stays open is not looked for any further.
RECORD_MAX = 1 << 20
NAMES = {"\t": "tab", " ": "space"}


@dataclass(frozen=True)
class Dialect:
    """What separates the values of a line, what may enclose them, and the names of the columns, in order."""

    separator: str
    quote: str
    columns: tuple[str, ...]
    has_header: bool

    def described(self) -> str:
        separator = NAMES.get(self.separator, repr(self.separator))
        header = "with a header" if self.has_header else "without a header"
        return f"separator {separator}, quote {self.quote or NO_QUOTE}, {header}"


@dataclass(frozen=True)
class Record:
    """One row of a file: the number of its first line, from 1, its lines, and the values, or what is wrong."""

    line: int
    text: str
    values: Sequence[str] = ()
    fault: str | None = None


def found(
    lines: Sequence[str], *, separator: str | None, quote: str | None, names: Sequence[str], wanted: Iterable[str]
) -> Dialect:
    """Find the dialect of a file that begins with `lines`; what is given stands.

    `names` are those of a file without a header. The separator is the one that makes the `wanted` columns appear in
    the header, or as many columns as there are names; else the one that cuts most lines into equally many values.
    """
    quotes = [quote.replace(NO_QUOTE, "")] if quote else ['"', "'"] if _single_quoted(lines) else ['"']
    choices = [(mark, each) for mark in reversed(quotes) for each in ([separator] if separator else SEPARATORS)]
    ranked = max(choices, key=lambda choice: _score(lines, choice[1], choice[0], len(names), set(wanted)))
    first = next(iter(records(lines, ranked[1], ranked[0])), None)
    header = tuple(names) or tuple(first.values if first else ())
    return Dialect(ranked[1], ranked[0], header, has_header=not names)


def _single_quoted(lines: Sequence[str]) -> bool:
    return bool(lines) and lines[0].startswith("'") and lines[0].rstrip("\r\n").endswith("'") and '"' not in lines[0]


def _score(
    lines: Sequence[str], separator: str, quote: str, num_names: int, wanted: set[str]
) -> tuple[int, float, int]:
    """Rank a choice: whether it gives the columns wanted, the share of rows with as many values as most, how many."""
    rows = [len(record.values) for record in records(lines, separator, quote) if not record.fault]
    if not rows:
        return (0, 0.0, 0)
    width = num_names or rows[0]
    share = rows.count(width) / len(rows)
    if num_names:
        return (int(share > 0), share, width)
    first = next(iter(records(lines, separator, quote))).values
    return (len(wanted & set(first)), share if width > 1 else 0.0, width)


def records(lines: Iterable[str], separator: str, quote: str) -> Iterator[Record]:
    """Cut lines, with their ends, into rows; blank lines are left out. A broken row is one line, and has a fault."""
    csv.field_size_limit(2 * RECORD_MAX)
    waiting, number = iter(lines), 0
    # Lines that were looked at in vain for the end of a quoted value.
    again: list[str] = []
    while line := again.pop(0) if again else next(waiting, None):
        number += 1
        if not line.strip("\r\n"):
            continue
        if not quote or quote not in line:
            yield Record(number, line, line.rstrip("\r\n").split(separator))
            continue
        text, taken = line, []
        values = _values(text, separator, quote)
        while values is None and len(text) < RECORD_MAX and (more := again.pop(0) if again else next(waiting, None)):
            taken.append(more)
            text += more
            if quote in more:
                values = _values(text, separator, quote)
        if isinstance(values, list):
            yield Record(number, text, values)
            number += len(taken)
        else:
            again = taken + again
            fault = values or f"a value in quotes ({quote}) does not end"
            yield Record(number, line, fault=fault)


def _values(text: str, separator: str, quote: str) -> list[str] | str | None:
    """Give the values of a row, None if a quoted one is open at its end, or what is wrong."""
    mark = separator if len(separator) == 1 else ONE_CHARACTER
    reader = csv.reader([text.replace(separator, mark)], delimiter=mark, quotechar=quote, strict=True)
    try:
        values = next(reader)
        return [value.replace(mark, separator) for value in values]
    except csv.Error as error:
        return None if "unexpected end" in str(error) else f"after a quote ({quote}) comes more than a separator"


def checked(dialect: Dialect, file: str, wanted: Iterable[str]) -> Dialect:
    """Give columns without a name, or with one taken, a name of their own; InputError if a wanted one is there twice.

    Databases take names that differ in capitals alone for the same.
    """
    wanted, taken = set(wanted), {FILE}
    taken |= {name.lower() for name in wanted}
    columns: list[str] = []
    for number, name in enumerate(dialect.columns, start=1):
        if name in wanted and name in columns:
            raise InputError(f"{file}: the header has two columns {name!r}; give each its own name")
        is_free = name in wanted or name and name.lower() not in taken
        columns.append(name if is_free else f"{name}_{number}")
        taken.add(columns[-1].lower())
    return replace(dialect, columns=tuple(columns))
