import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.recommender import session_files
from transformers4recsys.recommender.session_files import (
    format_by_content,
    holds_sessions,
    read_item_lists,
    sessions_of,
)


def test_sessions_come_in_parts_and_are_numbered_on(tmp_path, monkeypatch):
    monkeypatch.setattr(session_files, "SESSIONS_AT_A_TIME", 2)
    (tmp_path / "s.jsonl").write_text('{"items": [1]}\n\n{"items": []}\n{"items": ["a", 2]}\n')
    assert holds_sessions("json", str(tmp_path / "s.jsonl"))
    parts = list(sessions_of("json", str(tmp_path / "s.jsonl")))
    assert parts == [([0, 1], [[1], []]), ([2], [["a", 2]])]


def test_sessions_of_parquet_keep_their_names(tmp_path):
    pq.write_table(pa.table({"session": [7, 8], "items": [["a"], ["b", "c"]], "x": [1, 2]}), tmp_path / "s.parquet")
    assert holds_sessions("parquet", str(tmp_path / "s.parquet"))
    assert list(sessions_of("parquet", str(tmp_path / "s.parquet"))) == [([7, 8], [["a"], ["b", "c"]])]


def test_events_are_no_sessions(tmp_path):
    pq.write_table(pa.table({"items": ["a"]}), tmp_path / "e.parquet")
    (tmp_path / "e.jsonl").write_text('{"sku": "a"}\n')
    assert not holds_sessions("parquet", str(tmp_path / "e.parquet"))
    assert not holds_sessions("json", str(tmp_path / "e.jsonl")) and not holds_sessions("csv", "none.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"items": [1]}\n[2]\n', "line 2: .* is not an object"), ('{"items": [1]}\n{"items"\n', "line 2: not JSON")],
)
def test_a_broken_line_is_named(text, message, tmp_path):
    (tmp_path / "s.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        list(sessions_of("json", str(tmp_path / "s.jsonl")))


def test_a_session_without_a_list_is_named(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"session": "q", "items": "abc"}\n')
    with pytest.raises(InputError, match="items is 'abc' in session 'q'"):
        list(sessions_of("json", str(tmp_path / "s.jsonl")))


def test_item_lists(tmp_path):
    (tmp_path / "a.txt").write_text("007\n b \n")
    (tmp_path / "b.csv").write_text("item\n007\n8\n")
    (tmp_path / "c.jsonl").write_text('{"session": 1, "item": "x"}\n{"session": 1, "item": "y"}\n')
    assert read_item_lists(str(tmp_path / "a.txt"), name="exclude") == ["007", "b"]
    assert read_item_lists(str(tmp_path / "b.csv"), name="exclude") == ["007", "8"]
    assert read_item_lists(str(tmp_path / "c.jsonl"), name="exclude") == {"1": ["x", "y"]}
    (tmp_path / "d.csv").write_text("sku\n7\n")
    with pytest.raises(InputError, match="`exclude` .*d.csv has no column item; there are sku"):
        read_item_lists(str(tmp_path / "d.csv"), name="exclude")


@pytest.mark.parametrize(("start", "kind"), [(b"PAR1abc", "parquet"), (b' {"a": 1}', "json"), (b"a,b\n", "csv")])
def test_content_says_what_a_file_is(start, kind, tmp_path):
    (tmp_path / "x").write_bytes(start)
    assert format_by_content(tmp_path / "x") == kind
