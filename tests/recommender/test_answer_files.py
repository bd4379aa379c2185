import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.recommender.answer_files import answer_file, format_of

PARTS = [pa.table({"session": ["a", "b"], "item": ["x", 'y,"z']}), pa.table({"session": ["c"], "item": ["w"]})]


def test_a_folder_that_cannot_be_written_to_is_a_message(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    for change in ("open", "unlink"):
        monkeypatch.setattr(Path, change, refuse)
    path = str(tmp_path / "out.csv")
    with pytest.raises(InputError, match="out.csv cannot be written: Read-only file system"), answer_file(path, None):
        pass


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_parts_make_one_file(ending, tmp_path):
    path = tmp_path / "new" / f"out.{ending}"
    with answer_file(str(path), None) as write:
        for part in PARTS:
            write(part)
        assert not path.exists()
    if ending == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = (pq.read_table if ending == "parquet" else pyarrow.csv.read_csv)(path).to_pylist()
    assert rows == pa.concat_tables(PARTS).to_pylist()


def test_nothing_is_left_where_something_fails(tmp_path):
    (tmp_path / "out.csv").write_text("earlier")
    with pytest.raises(ZeroDivisionError), answer_file(str(tmp_path / "out.csv"), None) as write:
        write(PARTS[0])
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "earlier"


@pytest.mark.parametrize(
    ("output", "asked", "expected"),
    [("-", None, "csv"), ("-", "jsonl", "jsonl"), ("a.CSV", None, "csv"), ("a.txt", "parquet", "parquet")],
)
def test_formats(output, asked, expected):
    assert format_of(output, asked) == expected


def test_an_unknown_ending_is_refused():
    with pytest.raises(InputError, match="`output` a.xls: the ending does not say"):
        format_of("a.xls", None)
