"""Tables whose rows lie in several processes: whose they are, looking them up, and writing them whole."""

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import load
from torch.nn.functional import embedding

from transformers4recsys import distributed, row_shards
from transformers4recsys.row_shards import RowShards, SharedTable, normal_table, rows_of_all
from transformers4recsys.tensor_file import write_tensors

NUM_ITEMS = 12
TABLE = torch.arange(1.0, 37).view(NUM_ITEMS, 3)
# Ids twice, padding, those of one process alone, none at all.
IDS_OF_RANKS = [[[4, 1], [4, 0], [11, 9]], [], [[7, 7]]]


@pytest.mark.parametrize(("num_items", "num_ranks"), [(12, 3), (11, 2), (3, 4), (1, 2)])
def test_each_row_is_that_of_one_process_and_padding_of_all(num_items, num_ranks):
    of_ranks = [RowShards(num_items, rank, num_ranks) for rank in range(num_ranks)]
    whole = torch.arange(num_items)
    parts = [shards.part_of(whole) for shards in of_ranks]
    assert [len(part) for part in parts] == [shards.num_rows for shards in of_ranks]
    assert all(part[0] == 0 for part in parts)
    assert torch.cat([part[1:] for part in parts]).tolist() == list(range(1, num_items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert {shards.most_rows for shards in of_ranks} == {max(map(len, parts))}
    for shards, part in zip(of_ranks, parts, strict=True):
        is_own = torch.isin(whole, part[1:])
        assert torch.equal(part[shards.places(whole)], whole.where(is_own, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 3, 8, 16, 50])
def test_parts_are_drawn_as_the_whole_table_is(width, dtype, monkeypatch):
    # One block of rows, several, and last ones that are too small to be drawn apart.
    monkeypatch.setattr(row_shards, "NUMBERS_AT_A_TIME", 100)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        for num_items, num_ranks in product((3, 16, 17, 33, 95, 97, 112, 113, 128, 200, 1001), (1, 2, 3)):
            for rank in range(min(num_ranks, num_items - 1)):
                shards = RowShards(num_items, rank, num_ranks)
                torch.manual_seed(1)
                whole, next_number = normal_table(num_items, width, None, std=0.02), torch.rand(())
                torch.manual_seed(1)
                part = normal_table(num_items, width, shards, std=0.02)
                assert part.dtype == dtype and torch.equal(part, shards.part_of(whole))
                assert torch.rand(()) == next_number
    finally:
        torch.set_default_dtype(before)


def look_up() -> dict[str, list[torch.Tensor]]:
    """Look rows up in this process, with gradients that are whole and sparse."""
    shards = RowShards(NUM_ITEMS, distributed.rank(), distributed.world_size())
    ids = torch.tensor(IDS_OF_RANKS[shards.rank], dtype=torch.long)
    found, gradients = [], []
    for sparse in (False, True):
        part = shards.part_of(TABLE).requires_grad_()
        rows = rows_of_all(ids, part, shards, sparse=sparse)
        (rows * weights_of(shards.rank)).sum().backward()
        assert part.grad is not None and part.grad.is_sparse == sparse
        found.append(rows.detach())
        gradients.append(part.grad.to_dense())
    return {"rows": found, "gradients": gradients}


def weights_of(rank: int) -> torch.Tensor:
    shape = (*torch.tensor(IDS_OF_RANKS[rank]).shape, 3)
    return torch.randn(shape, generator=torch.Generator().manual_seed(rank))


def test_rows_of_other_processes_are_looked_up_and_get_the_mean_gradient(in_processes):
    answers = in_processes(look_up, 3)
    table = TABLE.clone().requires_grad_()
    for rank, answer in enumerate(answers):
        expected = embedding(torch.tensor(IDS_OF_RANKS[rank], dtype=torch.long), table, padding_idx=0)
        for rows in answer["rows"]:
            assert torch.equal(rows, expected)
        (expected * weights_of(rank) / 3).sum().backward()
    assert table.grad is not None
    for rank, answer in enumerate(answers):
        for gradient in answer["gradients"]:
            torch.testing.assert_close(gradient, RowShards(NUM_ITEMS, rank, 3).part_of(table.grad))


def write() -> list[int]:
    """Give the bytes of a file in which two of three tensors are shared out, one of them by single numbers a row."""
    row_shards.NUMBERS_AT_A_TIME = 6
    shards = RowShards(NUM_ITEMS, distributed.rank(), distributed.world_size())
    tables = [SharedTable(shards.part_of(table), shards) for table in (TABLE, torch.arange(NUM_ITEMS))]
    if not distributed.is_main():
        # The widest numbers come first.
        tables[1].send()
        tables[0].send()
        return []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        write_tensors({"a": tables[0], "b": tables[1], "c": torch.tensor(7.0)}, file)
        return list(file.read_bytes())


def test_the_first_process_writes_what_it_gets_from_the_others(in_processes):
    written, *_ = in_processes(write, 3)
    assert {name: value.tolist() for name, value in load(bytes(written)).items()} == {
        "a": TABLE.tolist(),
        "b": list(range(NUM_ITEMS)),
        "c": 7.0,
    }
