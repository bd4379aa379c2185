import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import file_columns

WHOLE, FLOAT, TEXT, MISSING = file_columns.WHOLE, file_columns.FLOAT, file_columns.TEXT, file_columns.MISSING
GOOD = {"visit": TEXT, "time": "times", "product": WHOLE, "cost": FLOAT}


def compare(recipe, **changes):
    other = {name: kind for name, kind in (GOOD | changes).items() if kind is not None}
    file_columns.compare({"a.parquet": GOOD, "b.parquet": other}, recipe(price_column="cost"))


@pytest.mark.parametrize("changes", [{}, {"product": MISSING}, {"cost": WHOLE}, {"more": TEXT}])
def test_files_that_fit_together(recipe, changes):
    compare(recipe, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"product": None, "item": WHOLE}, "`item_column`: b.parquet has no column product, which a.parquet has"),
        ({"cost": None}, "`price_column`: b.parquet has no column cost"),
        ({"product": FLOAT}, "product holds whole numbers in a.parquet and floats in b.parquet; write whole numbers"),
        ({"product": TEXT}, "whole numbers in a.parquet and text in b.parquet; write text in all files"),
        ({"product": file_columns.LARGE}, "without a sign in b.parquet"),
        ({"time": WHOLE}, "column time holds times in a.parquet and whole numbers in b.parquet"),
        ({"cost": TEXT}, "column cost holds numbers in a.parquet and text in b.parquet"),
        ({"Product": WHOLE}, "b.parquet has the columns product and Product, which differ in capitals alone"),
    ],
)
def test_files_that_do_not_are_refused_by_name_with_a_cure(recipe, changes, message):
    with pytest.raises(InputError, match=message):
        compare(recipe, **changes)


def test_kinds_of_parquet_and_columns_in_folder_names(tmp_path):
    path = tmp_path / "day=2024-01-05" / "a.parquet"
    path.parent.mkdir()
    columns = {
        "whole": pa.array([1], pa.int16()),
        "large": pa.array([1], pa.uint64()),
        "float": pa.array([1.0], pa.float32()),
        "text": pa.array(["x"]).dictionary_encode(),
        "time": pa.array([0], pa.timestamp("ns", "UTC")),
        "null": pa.nulls(1),
    }
    pq.write_table(pa.table(columns), path)
    kinds = [MISSING, WHOLE, file_columns.LARGE, FLOAT, TEXT, "times", MISSING]
    assert file_columns.of_parquet(str(path)) == dict(zip(["day", *columns], kinds, strict=True))
