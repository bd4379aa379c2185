"""What safetensors wrote comes back to the bit, block by block, into memory that is there."""

import json

import pytest
import safetensors.torch
import torch

from transformers4recsys import tensor_file
from transformers4recsys.tensor_file import DTYPES, TensorFile

generator = torch.Generator().manual_seed(0)
TENSORS = {
    f"of {name}": torch.randint(0, 100, (5, 3), generator=generator).to(dtype) for name, dtype in DTYPES.items()
} | {"number": torch.tensor(7.5), "nothing": torch.zeros(0, 4), "row": torch.arange(9)}


@pytest.fixture
def opened(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "file", metadata={"format": "pt"})
    with (tmp_path / "file").open("rb") as file:
        yield TensorFile(file)


@pytest.mark.parametrize("numbers_at_a_time", [1, 4, 2**22])
def test_every_type_and_shape_comes_back(numbers_at_a_time, opened, monkeypatch):
    monkeypatch.setattr(tensor_file, "NUMBERS_AT_A_TIME", numbers_at_a_time)
    assert set(opened) == set(TENSORS) and len(opened) == len(TENSORS)
    for name, expected in TENSORS.items():
        found = opened[name]
        assert torch.equal(found, expected) and found.dtype == expected.dtype
        assert opened.shape(name) == expected.shape


def test_memory_that_is_there_is_filled_and_further_rows_stay(opened):
    table, turned, wide = torch.full((7, 3), 9.0), torch.zeros(3, 5).T, torch.zeros(5, 3, dtype=torch.double)
    version = table._version
    opened.read_into("of F32", table)
    assert torch.equal(table[:5], TENSORS["of F32"]) and table[5:].tolist() == [[9.0] * 3] * 2
    # What follows the changes of a tensor, such as drawn negatives, sees this one.
    assert table._version > version
    opened.read_into("of F32", turned)
    opened.read_into("of F32", wide)
    assert torch.equal(turned, TENSORS["of F32"]) and torch.equal(wide.float(), TENSORS["of F32"])


def test_rows_of_zeros_follow(opened):
    assert opened.with_zero_rows("row", 11).tolist() == [*range(9), 0, 0]
    assert torch.equal(opened.with_zero_rows("of BF16", 5), TENSORS["of BF16"])


def of_header(header, data=b"1234"):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        of_header(b"no JSON"),
        of_header(b"[1, 2]"),
        of_header({"weight": ENTRY | {"dtype": "X9"}}),
        of_header({"weight": {"dtype": "F32", "shape": [1]}}),
        of_header({"weight": ENTRY | {"shape": [2]}}),
        of_header({"weight": ENTRY | {"data_offsets": [4, 8]}}),
        of_header({"weight": ENTRY | {"data_offsets": [-4, 0]}}),
    ],
)
def test_what_is_no_such_file_is_an_error(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file, pytest.raises(ValueError):
        TensorFile(file)
    (tmp_path / "file").write_bytes(of_header({"weight": ENTRY}))
    with (tmp_path / "file").open("rb") as file:
        assert TensorFile(file)["weight"].shape == (1,)
