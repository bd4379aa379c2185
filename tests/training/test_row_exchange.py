"""What is left to the exchange of rows, and what a process gives that read none."""

import torch

from transformers4recsys.training import row_exchange
from transformers4recsys.training.row_exchange import exchange_rows, mean_of_rows


def rows(ids, values):
    return torch.sparse_coo_tensor(torch.tensor([ids]), torch.tensor(values), (5, 2)).coalesce()


def test_rows_of_both_processes_are_averaged(monkeypatch):
    own, other = rows([1, 3], [[2.0, 4.0], [6.0, 8.0]]), rows([3], [[10.0, 0.0]])
    monkeypatch.setattr(row_exchange.distributed, "world_size", lambda: 2)
    monkeypatch.setattr(row_exchange.distributed, "sum_over_ranks", lambda counts: counts + torch.tensor([0, 1]))
    others = iter([other.indices()[0], other.values()])

    def all_gather(parts, mine):
        theirs = next(others)
        parts[0].copy_(mine)
        parts[1][: len(theirs)] = theirs

    monkeypatch.setattr(torch.distributed, "all_gather", all_gather)
    assert mean_of_rows(own).to_dense().tolist() == [[0, 0], [1, 2], [0, 0], [8, 4], [0, 0]]


def test_a_process_that_read_no_row_takes_part(monkeypatch):
    weight, given = torch.nn.Parameter(torch.ones(5, 2)), []
    monkeypatch.setattr(row_exchange.distributed, "world_size", lambda: 2)
    monkeypatch.setattr(row_exchange, "mean_of_rows", lambda own: given.append(own) or rows([2], [[1.0, 1.0]]))
    exchange_rows([weight])
    assert given[0].indices().shape == (1, 0) and given[0].values().shape == (0, 2)
    assert weight.grad.to_dense().tolist() == [[0, 0], [0, 0], [1, 1], [0, 0], [0, 0]]


def test_a_single_process_keeps_its_gradients():
    weight = torch.nn.Parameter(torch.ones(5, 2))
    weight.grad = gradient = rows([4], [[1.0, 2.0]])
    exchange_rows([weight])
    assert weight.grad is gradient
