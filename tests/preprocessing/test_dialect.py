import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.preprocessing import dialect
from transformers4recsys.preprocessing.dialect import Dialect


def find(text, names=(), wanted=("item",), separator=None, quote=None):
    lines = text.splitlines(keepends=True)
    return dialect.found(lines, separator=separator, quote=quote, names=names, wanted=wanted)


@pytest.mark.parametrize(
    ("text", "separator", "quote"),
    [
        ("item,time\n1,2\n", ",", '"'),
        ("item;time\n1,5;2\n1,5;3\n", ";", '"'),
        ("item\ttitle\n1\ta, b, c\n", "\t", '"'),
        ("item|a;b;c\n1|2;3;4\n", "|", '"'),
        ("'item','time'\n'1','2'\n", ",", "'"),
        ('"item","it\'s"\n', ",", '"'),
    ],
)
def test_the_separator_is_the_one_that_gives_the_columns_wanted(text, separator, quote):
    found = find(text)
    assert (found.separator, found.quote, found.columns[0], found.has_header) == (separator, quote, "item", True)


def test_without_a_header_the_separator_gives_as_many_columns_as_there_are_names():
    found = find("1;2,5;3\n1;2,5;3\n", names=("a", "b", "c"))
    assert found == Dialect(";", '"', ("a", "b", "c"), False)


def test_what_is_given_stands():
    assert find("item::time\n1::2\n", separator="::").columns == ("item", "time")
    assert find('item,"time\n', quote="none") == Dialect(",", "", ("item", '"time'), True)


def test_columns_get_names_of_their_own_and_a_wanted_one_is_there_once():
    made = Dialect(",", '"', ("item", "", "Item", "x", "x", "_raw_file"), True)
    assert dialect.checked(made, "a.csv", ["item"]).columns == ("item", "_2", "Item_3", "x", "x_5", "_raw_file_6")
    with pytest.raises(InputError, match="a.csv: the header has two columns 'item'"):
        dialect.checked(Dialect(",", '"', ("item", "item"), True), "a.csv", ["item"])


def test_rows_have_the_number_of_their_first_line_and_faults_are_one_line():
    text = 'a,b\n\n"x\n,""y""",2\n"open,3\n4,5\n"z"w,6\n7,8'
    found = list(dialect.records(text.splitlines(keepends=True), ",", '"'))
    assert [(row.line, list(row.values)) for row in found if not row.fault] == [
        (1, ["a", "b"]),
        (3, ['x\n,"y"', "2"]),
        (6, ["4", "5"]),
        (8, ["7", "8"]),
    ]
    assert [(row.line, row.text) for row in found if row.fault] == [(5, '"open,3\n'), (7, '"z"w,6\n')]
