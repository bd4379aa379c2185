"""Texts travel in batches as numbers, and the numbers lead back to the texts."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transformers4recsys.data.checks import check_files
from transformers4recsys.data.parquet.columns import text_numbers
from transformers4recsys.data.texts import Texts, texts_of_files
from transformers4recsys.schema import Schema

SCHEMA = Schema.from_entries(
    {
        "item_id": {"dtype": "categorical", "cardinality": 9, "is_label": True},
        "session_id": {"dtype": "text", "log_with_preds_as_metadata": True},
    }
)


def test_a_text_has_one_number_wherever_it_stands():
    numbers = text_numbers(pa.array(["b", "a", "é", "", "a"]))
    assert numbers.dtype == np.int64 and numbers[1] == numbers[4] and len(set(numbers.tolist())) == 4
    assert text_numbers(pa.array(["a"]).dictionary_encode().dictionary_decode()).tolist() == [numbers[1]]
    # The first 8 bytes of BLAKE2b of that length, by `printf a | b2sum -l 64`.
    assert numbers[1].tobytes().hex() == "40f89e395b66422f"


def test_numbers_lead_back_to_their_texts():
    texts = pa.array(["visit 7", "visit 3", "visit 7"])
    assert Texts.of(texts)(text_numbers(texts)).to_pylist() == ["visit 7", "visit 3", "visit 7"]


def test_texts_are_read_from_all_files_of_a_day_and_are_no_input(tmp_path):
    for name, session in (("1", "x"), ("2", "y")):
        pq.write_table(pa.table({"item_id": [[1, 2]], "session_id": [session]}), tmp_path / name)
    files = [str(tmp_path / "1"), str(tmp_path / "2")]
    check_files(files, SCHEMA)
    texts = texts_of_files(files, SCHEMA)
    assert texts["session_id"](text_numbers(pa.array(["y", "x"]))).to_pylist() == ["y", "x"]
    assert [feature.name for feature in SCHEMA.inputs] == ["item_id"]
    assert texts_of_files(files, SCHEMA.without_texts()) == {}
