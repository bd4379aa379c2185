"""Row-wise Adagrad beside its formula in NumPy; weights with whole gradients move as under AdamW."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from transformers4recsys.training.rowwise_adagrad import RowwiseAdagrad

SETTINGS = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-8, "weight_decay": 0.3}
STEPS = ([0, 2], [5, 4, 4, 5], [3], [2, 0, 5, 2])


def tables():
    start = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    return [torch.nn.Embedding(6, 3, _weight=start.clone(), sparse=sparse) for sparse in (True, False)]


def step(table, optimizer, ids):
    (table(torch.tensor(ids)) ** 3).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def plain(table, *, rate, is_sparse):
    """Make the steps on a table of NumPy, one row after the other; give it and the sums."""
    sums = np.zeros(len(table))
    for ids in STEPS:
        gradient = np.zeros_like(table)
        for row in ids:
            gradient[row] += 3 * table[row] ** 2
        for row in set(ids) if is_sparse else range(len(table)):
            sums[row] += (gradient[row] ** 2).mean()
            table[row] *= 1 - rate * SETTINGS["weight_decay"] if row in ids else 1
            table[row] -= rate * gradient[row] / (np.sqrt(sums[row]) + SETTINGS["eps"])
    return table, sums


@pytest.mark.parametrize("rate_ratio", [1.0, 3.0])
def test_rows_move_by_its_formula_and_those_not_read_as_under_whole_gradients(rate_ratio):
    sparse, _ = tables()
    start = sparse.weight.detach().double().numpy()
    optimizer = RowwiseAdagrad([sparse.weight], rate_ratio=rate_ratio, **SETTINGS)
    for ids in STEPS:
        step(sparse, optimizer, ids)
    for is_sparse in (True, False):
        expected, sums = plain(start.copy(), rate=0.1 * rate_ratio, is_sparse=is_sparse)
        np.testing.assert_allclose(sparse.weight.detach().numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(optimizer.state[sparse.weight]["sum"][:, 0].numpy(), sums, rtol=1e-5)
    assert torch.equal(sparse.weight[1].double(), torch.tensor(start[1]))


def test_the_first_step_of_a_row_is_as_long_as_the_learning_rate_whatever_its_gradient():
    sparse, _ = tables()
    optimizer = RowwiseAdagrad([sparse.weight], rate_ratio=1.0, **SETTINGS | {"weight_decay": 0.0})
    before = sparse.weight.detach().clone()
    step(sparse, optimizer, [1, 4])
    moved = (sparse.weight - before)[[1, 4]].square().mean(1).sqrt()
    torch.testing.assert_close(moved, torch.tensor([0.1, 0.1]))


def test_whole_gradients_are_those_of_adamw_and_the_state_can_be_saved():
    sparse, dense = tables()
    twin = torch.nn.Embedding(6, 3, _weight=dense.weight.detach().clone())
    optimizer = RowwiseAdagrad([sparse.weight, dense.weight], rate_ratio=2.0, **SETTINGS)
    of_twin = torch.optim.AdamW([twin.weight], **SETTINGS)
    for ids in STEPS:
        (sparse(torch.tensor(ids)) ** 3).sum().backward()
        step(dense, optimizer, ids)
        step(twin, of_twin, ids)
    torch.testing.assert_close(dense.weight, twin.weight)
    assert {name: value.shape for name, value in optimizer.state[sparse.weight].items()} == {
        "step": (),
        "sum": (6, 1),
    }

    again, other = tables()
    copy = RowwiseAdagrad([again.weight, other.weight], rate_ratio=2.0, **SETTINGS)
    copy.load_state_dict(deepcopy(optimizer.state_dict()))
    with torch.no_grad():
        again.weight.copy_(sparse.weight)
    step(again, copy, [1, 4])
    step(sparse, optimizer, [1, 4])
    assert torch.equal(again.weight, sparse.weight)
