"""The texts behind the numbers by which batches hold columns of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from transformers4recsys.data.days import DayFiles
from transformers4recsys.data.parquet.columns import flattened, text_numbers
from transformers4recsys.data.parquet.files import open_parquet
from transformers4recsys.schema import Schema


@dataclass(frozen=True)
class Texts:
    """Different texts, and the number of each in ascending order."""

    numbers: np.ndarray
    texts: pa.Array

    @classmethod
    def of(cls, texts: pa.Array) -> Texts:
        numbers, places = np.unique(text_numbers(texts), return_index=True)
        return cls(numbers, texts.take(pa.array(places)))

    def __call__(self, numbers: np.ndarray) -> pa.Array:
        """Give the text behind each number; all must be known."""
        places = np.searchsorted(self.numbers, numbers)
        assert np.array_equal(self.numbers[places], numbers), "the numbers come from the same files"
        return self.texts.take(pa.array(places))


def texts_of_day(days: DayFiles, split: str, schema: Schema, day: str) -> Mapping[str, Texts]:
    """Read the columns of text of a day, or an hour, by its name."""
    return texts_of_files(days.files(days.unit.parse(day, "the day"), split), schema)


def texts_of_files(files: Iterable[str], schema: Schema) -> Mapping[str, Texts]:
    """Read the columns of text of some checked parquet files."""
    names = [feature.name for feature in schema.texts]
    if not names:
        return {}
    table = pa.concat_tables([open_parquet(file).read(columns=names) for file in files])
    return {name: Texts.of(flattened(table.column(name).combine_chunks())[0]) for name in names}
