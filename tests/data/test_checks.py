"""Bad input: each case with a message that names file, column, row, what was found and what is allowed."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from transformers4recsys.data import checks
from transformers4recsys.data.checks import CheckedFile, add_moments, check_file, check_files, count_items
from transformers4recsys.errors import InputError
from transformers4recsys.schema import Schema

SCHEMA = Schema.from_entries(
    {
        "item": {"dtype": "categorical", "cardinality": 10, "is_label": True},
        "brand": {"dtype": "categorical", "cardinality": 4},
        "price": {"dtype": "float"},
        "views": {"dtype": "long"},
        "time": {"dtype": "timestamp"},
        "user": {"dtype": "long", "is_control": True},
        "bef_item": {"dtype": "categorical", "cardinality": 10},
        "bef_price": {"dtype": "float"},
        "_neg_item": {"dtype": "categorical", "cardinality": 10},
    },
    past_prefix="bef_",
)


def good() -> dict[str, list]:
    return {
        "item": [[1, 9], [3], [4, 5, 6]],
        "brand": [[0, 3], [1], [1, 2, 3]],
        "price": [[0.5, -1.0], [2.0], [3.0, 4.0, 5.0]],
        "views": [[1, 2], [3], [-4, 5, 6]],
        "time": [[datetime(2019, 10, 1)] * 2, [datetime(2019, 10, 1)], [datetime(2019, 10, 1)] * 3],
        "user": [7, 8, 7],
        "bef_item": [[1], [], [2, 3]],
        "bef_price": [[1.0], [], [2.0, 3.0]],
        "_neg_item": [[1, 2, 3, 4], [5], [6, 7, 8]],
    }


def said(path: str) -> str:
    with pytest.raises(InputError) as refusal:
        check_file(path, SCHEMA)
    assert path in str(refusal.value)
    return str(refusal.value)


def counted(file: CheckedFile) -> tuple[int, int]:
    return file.num_rows, file.num_sessions


def test_good_files_are_counted(write):
    first, second = (
        write("a.parquet", **good()),
        write("b.parquet", **{name: rows[:2] for name, rows in good().items()}),
    )
    checked = check_files([first, second], SCHEMA)
    assert {file: counted(of_file) for file, of_file in checked.items()} == {first: (3, 2), second: (2, 1)}


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 100])
def test_items_are_counted_in_the_part_of_a_session_that_is_kept(rows_at_a_time, write, monkeypatch):
    monkeypatch.setattr(checks, "ROWS_AT_A_TIME", rows_at_a_time)
    schema = Schema.from_entries({"item": {"dtype": "categorical", "cardinality": 10, "is_label": True}})
    first, second = write("a.parquet", item=[[1, 9], [3], [4, 5, 6, 9]]), write("b.parquet", item=[[], [9, 9]])
    whole = check_files([first, second], schema).values()
    assert [counts.tolist() for counts in count_items(whole, 10)] == [
        [0, 1, 0, 0, 1, 1, 1, 0, 0, 4],
        [3, 1, 0, 0, 1, 1, 1, 0, 0, 3],
    ]
    ends = check_files([first, second], schema, session_length_max=2)
    assert count_items(ends.values(), 10)[0].tolist() == [0, 1, 0, 0, 0, 0, 1, 0, 0, 4]
    assert [counts.tolist() for counts in count_items([ends[second]], 10)] == [[0] * 9 + [2], [1] + [0] * 8 + [1]]


@pytest.mark.parametrize("rows_at_a_time", [1, 100])
def test_numeric_columns_are_measured_over_all_files(rows_at_a_time, write, monkeypatch):
    monkeypatch.setattr(checks, "ROWS_AT_A_TIME", rows_at_a_time)
    first, second = good(), {name: rows[:2] for name, rows in good().items()}
    files = check_files([write("a.parquet", **first), write("b.parquet", **second)], SCHEMA).values()
    price, views = add_moments(files)
    # 0.5, -1, 2, 3, 4, 5, and again 0.5, -1, 2: their sum is 15, that of their squares 60.5.
    assert (price.count, price.mean, price.std) == pytest.approx((9, 15 / 9, (60.5 / 9 - (15 / 9) ** 2) ** 0.5))
    # 1, 2, 3, -4, 5, 6, and again 1, 2, 3: 19, and 105.
    assert (views.count, views.mean, views.std) == pytest.approx((9, 19 / 9, (105 / 9 - (19 / 9) ** 2) ** 0.5))


def test_a_file_is_opened_once(write, opened_files):
    path = write(**good(), row_group_size=1)
    check_file(path, SCHEMA)
    assert opened_files == {path: 1}


def test_a_file_without_rows_is_not_an_error(write):
    empty = {name: pa.array(rows).slice(0, 0) for name, rows in good().items()}
    assert counted(check_file(write(**empty), SCHEMA)) == (0, 0)


def test_integers_of_any_width_floats_and_plain_times_are_good(write):
    columns = good() | {
        "item": pa.array(good()["item"], pa.large_list(pa.uint8())),
        "brand": pa.array(good()["brand"], pa.list_(pa.int8())),
        "price": pa.array([[1, 2], [3], [4, 5, 6]], pa.list_(pa.int32())),
        "time": [[1, 2], [3], [4, 5, 6]],
        "user": pa.array(good()["user"], pa.uint64()).dictionary_encode(),
    }
    assert counted(check_file(write(**columns), SCHEMA)) == (3, 2)


def test_columns_that_the_schema_does_not_name_are_not_looked_at(write):
    assert check_file(write(**good(), note=["x", None, "y"]), SCHEMA).num_rows == 3


@pytest.mark.parametrize(
    ("column", "rows", "row", "parts"),
    [
        ("item", [[1, 9], [10], [4, 5, 6]], 1, ["found 10", "1 to 9", "cardinality"]),
        ("item", [[1, 9], [3], [4, 0, 6]], 2, ["found 0", "1 to 9", "padding"]),
        ("item", [[1, -9], [3], [4, 5, 6]], 0, ["found -9", "1 to 9"]),
        ("brand", [[0, 3], [1], [1, 2, 4]], 2, ["found 4", "0 to 3"]),
        ("brand", [[0, 3], [-1], [1, 2, 3]], 1, ["found -1", "0 to 3"]),
        ("bef_item", [[1], [], [0, 3]], 2, ["found 0", "1 to 9"]),
        ("_neg_item", [[1, 2, 3, 4], [5], [6, 7, 88]], 2, ["found 88", "0 to 9"]),
        ("price", [[0.5, math.nan], [2.0], [3.0, 4.0, 5.0]], 0, ["found nan", "finite"]),
        ("price", [[0.5, 1.0], [2.0], [3.0, 4.0, -math.inf]], 2, ["found -inf", "finite"]),
        ("price", [[0.5, 1.0], [1e39], [3.0, 4.0, 5.0]], 1, ["found 1e+39", "3.4e38"]),
        ("price", [[0.5, 1.0], None, [3.0, 4.0, 5.0]], 1, ["found a null"]),
        ("price", [[0.5, 1.0], [2.0], [3.0, None, 5.0]], 2, ["found a null inside the list"]),
        ("item", [[1, 9], [3], None], 2, ["found a null"]),
        ("item", [[None, 9], [3], [4, 5, 6]], 0, ["found a null inside the list"]),
        ("user", [7, None, 7], 1, ["found a null"]),
        ("user", pa.array([7, 2**63, 7], pa.uint64()), 1, ["found 9223372036854775808", "64 bits"]),
        ("brand", [[0, 3], [1], [1, 2]], 2, ["2 values", "item has 3", "as long as"]),
        ("brand", [[0, 3, 1], [1], [1, 2]], 0, ["3 values", "item has 2"]),
        ("bef_price", [[1.0], [2.0], [2.0, 3.0]], 1, ["1 values", "bef_item has 0"]),
        ("_neg_item", [[1, 2, 3], [5], [6, 7, 8]], 0, ["3 values", "item has 2", "multiple"]),
    ],
)
def test_a_bad_value_is_named_with_its_row(write, column: str, rows: object, row: int, parts: list[str]):
    message = said(write(**good() | {column: rows}))
    assert f"column {column}, row {row} (from 0)" in message
    for part in parts:
        assert part in message


def test_a_null_in_a_dictionary_column_is_found(write):
    users = pa.array([7, None, 7]).dictionary_encode()
    assert "column user, row 1 (from 0): found a null" in said(write(**good() | {"user": users}))


def test_the_row_counts_from_the_start_of_the_file(write, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "ROWS_AT_A_TIME", 4)
    columns = {name: rows * 5 for name, rows in good().items()}
    columns["brand"] = [*columns["brand"][:13], [77], columns["brand"][14]]
    message = said(write(row_group_size=3, **columns))
    assert "column brand, row 13 (from 0): found 77" in message


def test_negatives_of_a_session_without_items_are_refused(write):
    columns = {name: [*rows, rows[0]] for name, rows in good().items()}
    for name in ("item", "brand", "price", "views", "time"):
        columns[name] = [*good()[name], []]
    assert "_neg_item, row 3" in said(write(**columns))


def test_all_missing_columns_are_named_with_their_nearest(write):
    columns = good()
    columns["prices"] = columns.pop("price")
    del columns["user"]
    message = said(write(**columns))
    assert "has no column price (nearest: prices), user; it has item, brand" in message


@pytest.mark.parametrize(
    ("column", "rows", "parts"),
    [
        ("item", [[1.0, 9.0], [3.0], [4.0, 5.0, 6.0]], ["list<element: double>", "a list of integers", "pandas"]),
        ("item", [1, 2, 3], ["int64", "a list of integers"]),
        ("brand", [["a", "b"], ["c"], ["d", "e", "f"]], ["string", "integers, or lists of them"]),
        ("brand", [[True, True], [True], [True] * 3], ["bool", "dtype categorical"]),
        ("price", [["0.5"] * 2, ["1"], ["2"] * 3], ["string", "floats or integers"]),
        ("views", [[1.0, 2.0], [3.0], [4.0] * 3], ["double", "dtype long allows integers"]),
        ("time", [[1.0, 2.0], [3.0], [4.0] * 3], ["double", "timestamps or integers"]),
        ("bef_price", [1.0, 2.0, 3.0], ["double", "a list of floats"]),
        ("_neg_item", [1, 2, 3], ["int64", "a list of integers"]),
    ],
)
def test_a_column_of_another_type_is_refused(write, column: str, rows: list, parts: list[str]):
    message = said(write(**good() | {column: rows}))
    assert f"column {column} has the type" in message
    for part in parts:
        assert part in message


def test_a_file_that_is_not_parquet(tmp_path: Path):
    path = tmp_path / "file.parquet"
    path.write_text("item,brand\n1,2\n")
    assert "cannot be read as parquet" in said(str(path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_is_cut_short(write, share: float):
    path = Path(write(**good()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "truncated" in said(str(path))


def test_a_file_with_a_damaged_page(write):
    path = Path(write(**good()))
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    assert "cannot be read as parquet" in said(str(path))


def test_the_first_bad_file_is_named(write):
    fine, bad = write("a.parquet", **good()), write("b.parquet", **good() | {"item": [[1, 2], [0], [1, 2, 3]]})
    with pytest.raises(InputError, match="b.parquet: column item, row 1"):
        check_files([fine, bad], SCHEMA)
