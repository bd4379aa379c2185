import pickle
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from transformers4recsys.recommender import value_index
from transformers4recsys.recommender.value_index import SPREAD, ValueIndex

TEXTS = ["b", "", "ä", "7", "sku-1", "sku-10", "B", "\N{SNOWMAN}" * 40]
NUMBERS = [-1, -2, 0, 2**61 - 1, 2**61, 1, 2**63 - 1, -(2**63), 7]
# Its bits are those of the largest number once they are spread.
LARGEST = pow(SPREAD, -1, 2**64) * (2**63 - 1) % 2**64


def as_signed(number):
    return number - 2**64 if number >= 2**63 else number


def use_hash(monkeypatch, function):
    monkeypatch.setattr(value_index, "hash", function, raising=False)


def assert_finds_what_a_dict_finds(values, wanted, *, kind=None):
    place_of = {value: place for place, value in enumerate(values)}
    found = ValueIndex(pa.array(values, kind)).places(wanted)
    assert found.dtype == np.int64 and found.tolist() == [place_of.get(value, -1) for value in wanted]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_text(kind):
    assert_finds_what_a_dict_finds(TEXTS, [*reversed(TEXTS), "a", None, "b", "b "], kind=kind)


@pytest.mark.parametrize("kind", [pa.int64(), pa.int16()])
def test_numbers(kind):
    values = NUMBERS if kind == pa.int64() else [-1, -2, 0, 300]
    assert_finds_what_a_dict_finds(values, [*reversed(values), 2, None, 2**60, 7, 7], kind=kind)


def test_a_missing_value_is_found_as_one():
    assert_finds_what_a_dict_finds(["a", None, "b"], ["b", None, "c", "a"])


@pytest.mark.parametrize("values", [[], ["a"]])
@pytest.mark.parametrize("wanted", [[], ["a"], ["b", "a", "b"]])
def test_few_values(values, wanted):
    assert_finds_what_a_dict_finds(values, wanted, kind=pa.string())


def test_values_of_several_parts(monkeypatch):
    monkeypatch.setattr(value_index, "FEW_VALUES", 3)
    assert_finds_what_a_dict_finds(TEXTS, [*TEXTS, "a"])
    assert_finds_what_a_dict_finds(NUMBERS[:6], [*NUMBERS])


@pytest.mark.parametrize("same", [0, 1, -1, as_signed(LARGEST), as_signed(-LARGEST % 2**64)])
@pytest.mark.parametrize("values", [TEXTS, NUMBERS])
def test_values_of_the_same_hash_are_told_apart(monkeypatch, values, same):
    use_hash(monkeypatch, lambda value: same)
    wanted = [*values[::-1], "unknown", 5, None, values[3]]
    assert_finds_what_a_dict_finds(values, wanted)
    assert_finds_what_a_dict_finds(values[:1], wanted)


def test_hashes_of_a_few_bits():
    draw = np.random.default_rng(3)
    values = [str(number) for number in draw.permutation(900)[:600]]
    with pytest.MonkeyPatch.context() as patch:
        use_hash(patch, lambda value: len(str(value)) * 2**60 + sum(map(ord, str(value))) % 5)
        assert_finds_what_a_dict_finds(values, [str(number) for number in draw.integers(0, 1_000, 2_000)])


def test_of_equal_values_the_first_is_found():
    assert ValueIndex(pa.array(["a", "b", "a", "b"])).places(["b", "a"]).tolist() == [1, 0]


@pytest.mark.parametrize("step", [1, 10, 7_919, 2**20, 2**32 + 1])
def test_whole_numbers_in_a_row_differ_in_their_leading_bits(step):
    index = ValueIndex(pa.array(10**9 + np.arange(20_000) * step))
    leading = index._entries[:-1] & ~index._place_bits
    assert len(np.unique(leading)) == 20_000


def test_a_copy_works_where_text_has_other_hashes(monkeypatch):
    pickled = pickle.dumps(ValueIndex(pa.array(TEXTS)))
    use_hash(monkeypatch, lambda value: hash(("another process", value)))
    assert pickle.loads(pickled).places(["ä", "a"]).tolist() == [2, -1]


def test_memory(monkeypatch):
    monkeypatch.setattr(value_index, "FEW_VALUES", 8_192)
    values = pa.array([f"sku-{number:08}" for number in range(200_000)])
    tracemalloc.start()
    try:
        index = ValueIndex(values)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 * len(values) and most < 20 * len(values)
    assert index.places(["sku-00150000"]).tolist() == [150_000]


def test_many_values_are_looked_up_in_parts(monkeypatch):
    monkeypatch.setattr(value_index, "FEW_VALUES", 2)
    index = ValueIndex(pa.array(["a", "b", "c", "d", "e"]))
    assert index.places(["e", "x", "a", "c", "b"]).tolist() == [4, -1, 0, 2, 1]
    assert index.places([]).tolist() == []
