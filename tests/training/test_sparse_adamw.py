"""All rows move as under AdamW, or only those that a step reads."""

from copy import deepcopy

import pytest
import torch

from transformers4recsys.training import sparse_adamw
from transformers4recsys.training.sparse_adamw import SparseAdamW, clip_gradients

SETTINGS = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-8, "weight_decay": 0.3}


def tables():
    torch.manual_seed(0)
    start = torch.randn(6, 3)
    return [torch.nn.Embedding(6, 3, _weight=start.clone(), sparse=sparse) for sparse in (True, False)]


def step(table, optimizer, ids):
    optimizer.zero_grad()
    (table(torch.tensor(ids)) ** 3).sum().backward()
    optimizer.step()


def test_equals_adamw_where_every_batch_reads_every_row():
    sparse, dense = tables()
    of_sparse, of_dense = (
        SparseAdamW([sparse.weight], is_lazy=True, **SETTINGS),
        torch.optim.AdamW([dense.weight], **SETTINGS),
    )
    for ids in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0, 0, 5], [0, 2, 1, 3, 5, 4, 4]):
        step(sparse, of_sparse, ids)
        step(dense, of_dense, ids)
    torch.testing.assert_close(sparse.weight, dense.weight)


@pytest.mark.parametrize("numbers_at_a_time", [1, 12, 18, 300])
def test_moves_rows_that_no_batch_reads_as_adamw_does(numbers_at_a_time, monkeypatch):
    monkeypatch.setattr(sparse_adamw, "NUMBERS_AT_A_TIME", numbers_at_a_time)
    sparse, dense = tables()
    of_sparse = SparseAdamW([sparse.weight], is_lazy=False, **SETTINGS)
    of_dense = torch.optim.AdamW([dense.weight], fused=True, **SETTINGS)
    for ids in ([0, 2], [5, 4, 4, 5], [3], [2, 0, 5]):
        step(sparse, of_sparse, ids)
        step(dense, of_dense, ids)
    torch.testing.assert_close(sparse.weight, dense.weight)
    state, twin = of_sparse.state[sparse.weight], of_dense.state[dense.weight]
    assert state.keys() == twin.keys() and state["step"] == twin["step"] == 4
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(state[name], twin[name])


def test_a_row_that_is_not_read_stands_still():
    sparse, _ = tables()
    optimizer = SparseAdamW([sparse.weight], is_lazy=True, **SETTINGS)
    step(sparse, optimizer, [0, 1, 2])
    before = sparse.weight.detach().clone()
    step(sparse, optimizer, [1])
    assert torch.equal(sparse.weight[[0, 2, 3, 4, 5]], before[[0, 2, 3, 4, 5]])
    assert not torch.equal(sparse.weight[1], before[1])


def test_dense_weights_beside_are_moved_as_ever_and_the_state_can_be_saved():
    sparse, dense = tables()
    optimizer = SparseAdamW([sparse.weight, dense.weight], is_lazy=True, **SETTINGS)
    twin = torch.nn.Embedding(6, 3, _weight=dense.weight.detach().clone())
    of_twin = torch.optim.AdamW([twin.weight], **SETTINGS)
    for _ in range(2):
        optimizer.zero_grad()
        ((sparse(torch.tensor([1])) ** 2).sum() + (dense(torch.tensor([2, 3])) ** 2).sum()).backward()
        optimizer.step()
        of_twin.zero_grad()
        (twin(torch.tensor([2, 3])) ** 2).sum().backward()
        of_twin.step()
    torch.testing.assert_close(dense.weight, twin.weight)

    again, other = tables()
    copy = SparseAdamW([again.weight, other.weight], is_lazy=True, **SETTINGS)
    copy.load_state_dict(deepcopy(optimizer.state_dict()))
    with torch.no_grad():
        again.weight.copy_(sparse.weight)
    step(again, copy, [1, 4])
    step(sparse, optimizer, [1, 4])
    assert torch.equal(again.weight, sparse.weight)


@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clips_as_pytorch_clips_dense_gradients(max_norm):
    sparse, dense = tables()
    for table in (sparse, dense):
        (table(torch.tensor([1, 1, 4])) ** 2).sum().backward()
    found = clip_gradients([sparse.weight], max_norm)
    expected = torch.nn.utils.clip_grad_norm_([dense.weight], max_norm)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


@pytest.mark.parametrize(("largest", "is_written"), [(0.5, False), (2.0, True), (float("nan"), True)])
def test_gradients_below_the_norm_are_not_passed_over(largest, is_written):
    _, dense = tables()
    dense.weight.grad = torch.zeros_like(dense.weight)
    dense.weight.grad[1, 2] = largest
    before, twin = dense.weight.grad._version, torch.nn.Parameter(dense.weight.detach().clone())
    twin.grad = dense.weight.grad.clone()

    found = clip_gradients([dense.weight], 1.0)

    expected = torch.nn.utils.clip_grad_norm_([twin], 1.0)
    torch.testing.assert_close(found, expected, equal_nan=True)
    torch.testing.assert_close(dense.weight.grad, twin.grad, equal_nan=True)
    assert (dense.weight.grad._version > before) is is_written
