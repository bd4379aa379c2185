import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.settings_files import values_of_file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "d_model: 8\nflag: no\n"),
        ("a.yml", "\ufeffd_model: 8\nflag: no\n"),
        ("a.json", '{"d_model": 8, "flag": false}'),
    ],
)
def test_values_by_name(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert values_of_file(path) == {"d_model": 8, "flag": False}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: [1", "a.yaml is not valid YAML"),
        ("a.json", "{", "a.json is not valid JSON"),
        ("a.yaml", "- 1\n", "expected `flag: value` pairs, found a list"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        values_of_file(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: No such file"):
        values_of_file(tmp_path / "nowhere.yaml")
