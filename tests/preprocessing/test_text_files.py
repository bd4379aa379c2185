import gzip

import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import text_files
from transformers4recsys.preprocessing.dialect import Dialect


def read(tmp_path, content, encoding=None, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    used = text_files.encoding_of(str(path), encoding)
    copy = text_files.readable(str(path), name, used, tmp_path / "copy")
    return copy == str(path), (tmp_path / "copy").read_bytes() if copy != str(path) else None


@pytest.mark.parametrize("content", [b"", b"a\nb", b"a\r\nb\r\n", "é\n".encode()])
def test_utf8_with_line_ends_of_one_kind_is_read_where_it_is(tmp_path, content):
    assert read(tmp_path, content) == (True, None)
    assert read(tmp_path, content, name="a.csv.gz") == (True, None)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"a\r\n\xc3\xa9\nb\r\n", None),
        (b"a\r\xc3\xa9\rb\r", None),
        (b"\xef\xbb\xbfa\n\xc3\xa9\nb\n", None),
        ("a\r\né\r\nb\r\n".encode("utf-16"), None),
        ("a\né\nb\n".encode("cp1252"), "cp1252"),
    ],
)
def test_anything_else_is_rewritten(tmp_path, content, encoding):
    assert read(tmp_path, content, encoding) == (False, "a\né\nb\n".encode())


def test_bytes_of_another_encoding_are_named_by_line(tmp_path):
    with pytest.raises(InputError, match=r"a\.csv is not text in UTF-8: line 2 holds the byte b'.xe9'; .*`encoding`"):
        read(tmp_path, b"a\n\xe9\n")
    with pytest.raises(InputError, match="end inside a character|holds the byte"):
        read(tmp_path, b"a\n\xc3")


def test_a_character_may_lie_on_the_edge_of_what_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "CHUNK", 2)
    assert read(tmp_path, "aé\nbc\n".encode()) == (True, None)
    assert read(tmp_path, b"a\r\nb\r\n") == (True, None)


def test_a_compressed_file_that_is_cut_is_an_error(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n" * 10_000)[:-20])
    with pytest.raises(InputError, match=r"a\.csv\.gz cannot be read"):
        text_files.readable(str(tmp_path / "a.csv.gz"), "a", "utf-8", tmp_path / "copy")


def test_broken_lines_are_found_and_left_out(tmp_path):
    path, dialect = tmp_path / "a.csv", Dialect(",", '"', ("a", "b"), True)
    path.write_bytes(b"a,b\n1,2\n\n3\n4,\xe9\n5,6,7\n8,9\n(2 rows)\n")
    broken = text_files.first_broken(str(path), dialect)
    assert (broken.line, broken.fault) == (4, "1 values where 2 columns are expected")
    assert text_files.without_broken_lines(str(path), "utf-8", dialect, tmp_path / "copy") == 4
    assert (tmp_path / "copy").read_text() == "a,b\n1,2\n8,9\n"


def test_broken_lines_of_json_are_found_and_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n[2]\n\n{"a": 3\n{"b": 4}')
    assert text_files.first_broken(str(path), None).line == 2
    assert text_files.without_broken_lines(str(path), "utf-8", None, tmp_path / "copy") == 2
    assert (tmp_path / "copy").read_text() == '{"a": 1}\n{"b": 4}\n'
    assert text_files.keys_of(str(path)) == ["a"]
