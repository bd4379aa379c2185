"""What the data folder and a file of vectors say of each item, checked, and joined with what an earlier run knew."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from transformers4recsys.data.parquet.columns import flattened, is_list, to_numpy, value_type
from transformers4recsys.day_format import ITEMS_FILE, vocabulary_file
from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ContentSettings, ItemData
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.schema import Schema
from transformers4recsys.settings import choose
from transformers4recsys.terminal import counted
from transformers4recsys.training.evaluation import Evaluation

log = logging.getLogger(__name__)
# Columns of the item table that name an item.
KEYS = ("raw", "id")


def read_item_data(
    settings: ContentSettings, schema: Schema, *, data_path: str, earlier: RunFolder | None = None
) -> ItemData | None:
    """Read what the settings name, by the ids of the schema's items; None where they name nothing.

    What an `earlier` run knew stays: scales, and the vectors of its items. Raise InputError on what cannot be used.
    """
    before = (ItemData.of_weights(earlier.weights()) if earlier else None) or ItemData()
    if before.vectors is not None and not settings.item_vectors:
        raise InputError(
            f"{earlier and earlier.path} was trained with item vectors: give `item_vectors`; a file of new items alone "
            "is enough"
        )
    if not settings.is_on:
        return None
    num_items, folder = schema.item_id.cardinality, Path(data_path).expanduser()
    codes: dict[str, Tensor] = {}
    numbers: dict[str, Tensor] = {}
    scales: dict[str, Tensor] = {}
    if settings.item_features:
        table = _item_table(folder, num_items, "item_features")
        columns = {name: table.column(name) for name in table.column_names if name not in KEYS}
        for name in settings.item_features:
            values, ids = choose(columns, name, "item_features").combine_chunks(), table.column("id").to_numpy()
            if (folder / vocabulary_file(name)).exists():
                codes[name] = _by_id(_ids_of(values, folder / vocabulary_file(name), num_items), ids, num_items)
            elif pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
                raw_V = _by_id(values.cast(pa.float64()).fill_null(np.nan).to_numpy(), ids, num_items, missing=np.nan)
                numbers[name], scales[name] = _standardised(raw_V, before.scales.get(name))
            else:
                raise InputError(f"`item_features` {name}: neither numbers nor a column with a vocabulary in {folder}")
    vectors = None
    if settings.item_vectors:
        vocabulary = folder / vocabulary_file(schema.item_id.name)
        vectors = read_vectors(settings.item_vectors, vocabulary, num_items, before=before.vectors)
    return ItemData(codes, numbers, scales, vectors)


def read_compared_items(settings: Evaluation, schema: Schema, *, data_path: str) -> ItemData:
    """Read the categories and vectors by which an evaluation compares the items of a list."""
    num_items, folder = schema.item_id.cardinality, Path(data_path).expanduser()
    codes: dict[str, Tensor] = {}
    if settings.diversity_columns:
        table = _item_table(folder, num_items, "diversity_columns")
        known = {name: table.column(name) for name in table.column_names if (folder / vocabulary_file(name)).exists()}
        for name in settings.diversity_columns:
            values = choose(known, name, "diversity_columns").combine_chunks()
            ids = _ids_of(values, folder / vocabulary_file(name), num_items)
            codes[name] = _by_id(ids, table.column("id").to_numpy(), num_items)
    path, vocabulary = settings.diversity_vectors, folder / vocabulary_file(schema.item_id.name)
    vectors = read_vectors(path, vocabulary, num_items, setting="diversity_vectors") if path else None
    return ItemData(codes, vectors=vectors)


def read_vectors(
    path: str, vocabulary: Path, num_items: int, *, setting: str = "item_vectors", before: Tensor | None = None
) -> Tensor:
    """Read raw ids and lists of floats, one width for all; give them by item id, (V, W), 0 where there is none.

    Each is scaled to a mean square of 1. Items that had one `before`, (R, W), in an earlier run keep it, and the file
    may then have none of use. Raise InputError that names the `setting` and row of what cannot be used.
    """
    where = f"`{setting}` {path}"
    table = _read(Path(path).expanduser(), setting)
    if before is not None and not table.num_rows:
        log.info("%s has no rows: items without a vector have none", path)
        return _behind(before, before.new_zeros(num_items, before.shape[1]), path)
    lists = [of.name for of in table.schema if is_list(of.type) and pa.types.is_floating(value_type(of.type))]
    if len(lists) != 1 or table.num_columns != 2:
        raise InputError(
            f"{where}: expected two columns, raw item ids and lists of floats; found "
            f"{', '.join(f'{field.name} ({field.type})' for field in table.schema)}"
        )
    [id_name] = [name for name in table.column_names if name not in lists]
    raw, column = table.column(id_name).combine_chunks(), table.column(lists[0]).combine_chunks()
    vectors_NW = _checked_vectors(column, where, lists[0])
    bad = {
        "ids are text or whole numbers, never floats": pa.types.is_floating(raw.type),
        "an id is missing": raw.null_count > 0,
        "an id occurs twice": len(raw.unique()) < len(raw),
    }
    for what in (what for what, is_so in bad.items() if is_so):
        raise InputError(f"{where}, column {id_name}: {what}; give one vector for each item")
    ids_N = _ids_of(raw, vocabulary, num_items)
    is_known_N = (ids_N > 0) & (ids_N < num_items)
    size_N1 = np.sqrt(np.square(vectors_NW, dtype=np.float64).mean(axis=1, keepdims=True))
    vectors_VW = np.zeros((num_items, vectors_NW.shape[1]), np.float32)
    vectors_VW[ids_N[is_known_N]] = (vectors_NW / np.where(size_N1 > 0, size_N1, 1))[is_known_N]
    found = torch.from_numpy(vectors_VW)
    vectors = found if before is None else _behind(before, found, path)
    num_zero = int((size_N1 == 0).sum())
    log.info(
        "%s: %s of width %d; %d are of no item of this run, %d are all zeros; %s without one",
        *(path, counted(len(raw), "vector"), vectors_NW.shape[1], int((~is_known_N).sum()), num_zero),
        counted(int((~vectors.any(dim=1)).sum()) - 1, "item"),
    )
    if before is None and not is_known_N.any():
        raise InputError(f"{where}: no id of column {id_name} is the raw id of an item of this run")
    return vectors


def _checked_vectors(column: pa.Array, where: str, name: str) -> np.ndarray:
    """Give the lists as rows, (N, W); InputError where one is missing, of another width, or not of finite numbers."""

    def refuse(is_bad_N: Any, what: str) -> None:
        if is_bad_N.any():
            raise InputError(
                f"{where}: column {name}, row {int(is_bad_N.argmax())} (from 0): {what}; give each item "
                "a list of as many finite numbers, or leave it out"
            )

    if not len(column):
        raise InputError(f"{where} has no rows")
    refuse(column.is_null().to_numpy(zero_copy_only=False), "the list is missing")
    values, offsets = flattened(column.cast(pa.large_list(column.type.value_type)))
    assert offsets is not None, "a list"
    widths_N = np.diff(offsets)
    refuse(widths_N != widths_N[0], f"another width than the {widths_N[0]} of the first row")
    refuse(np.full(1, widths_N[0] == 0), "an empty list")
    numbers = to_numpy(values.cast(pa.float32()).fill_null(np.nan)).reshape(len(column), -1)
    refuse(~np.isfinite(numbers).all(axis=1), "a number is missing, NaN or infinite")
    return numbers


def _behind(before: Tensor, found: Tensor, path: str) -> Tensor:
    """Give the earlier run's vectors where it had one, which training may have moved, else those of the file."""
    if before.shape[1] != found.shape[1]:
        raise InputError(
            f"`item_vectors` {path}: the width is {found.shape[1]}, and that of the run to go on with is "
            f"{before.shape[1]}; make the vectors as those were made"
        )
    vectors_VW = found.clone()
    had_one = (before != 0).any(dim=1).nonzero()[:, 0]
    vectors_VW[had_one] = before[had_one]
    return vectors_VW


def _item_table(folder: Path, num_items: int, setting: str) -> pa.Table:
    if not (folder / ITEMS_FILE).exists():
        raise InputError(f"`{setting}`: {folder} has no {ITEMS_FILE}, which `preprocess` writes; preprocess again")
    table = _read(folder / ITEMS_FILE, "data_path")
    # The vocabulary can have grown since the feature config was written.
    return table.filter(pc.less(table.column("id"), num_items))


def _ids_of(raw: pa.Array, vocabulary: Path, num_items: int) -> np.ndarray:
    """Look raw values up, (N,); 0 for those that the vocabulary lacks. Without one, item ids are their own raw ones."""
    own_raw = pa.array(np.arange(1, num_items))
    known = _read(vocabulary, "data_path") if vocabulary.exists() else pa.table({"raw": own_raw, "id": own_raw})
    words = known.column("raw").combine_chunks()
    if raw.type != words.type:
        # Whole numbers and their digits as text stand for each other.
        raw, words = raw.cast(pa.string()), words.cast(pa.string())
    places = pc.index_in(raw, value_set=words)
    return known.column("id").combine_chunks().take(places).fill_null(0).to_numpy(zero_copy_only=False)


def _by_id(values: np.ndarray, ids: np.ndarray, num_items: int, *, missing: float = 0) -> Tensor:
    values_V = np.full(num_items, missing, values.dtype)
    values_V[ids] = values
    return torch.from_numpy(values_V)


def _standardised(raw_V: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """Give numbers of mean 0 and deviation 1, 0 where unknown, and the scale, (2,): an earlier one if there is one."""
    known = raw_V[raw_V.isfinite()]
    if scale is None:
        std = known.std(correction=0) if len(known) else torch.ones(())
        scale = torch.stack([known.mean() if len(known) else torch.zeros(()), std if std > 0 else torch.ones(())])
    mean, std = scale.double()
    return ((raw_V - mean) / std).nan_to_num(nan=0.0).float(), scale.double()


def _read(path: Path, setting: str) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"`{setting}` {path} cannot be read as parquet: {error}") from error
