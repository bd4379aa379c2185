"""Products by rows, and layers of them, beside PyTorch's own operators."""

import pytest
import torch
from torch.nn import functional

from transformers4recsys import products
from transformers4recsys.products import Linear, by_row, linear


@pytest.fixture
def taken(monkeypatch):
    """Count the products that oneDNN makes; a stand-in makes them where PyTorch has none."""
    shapes = []
    is_there = products._has_onednn()
    onednn = products._product_of_onednn

    def counted(left, right, bias):
        shapes.append((len(left), len(right)))
        return onednn(left, right, bias) if is_there else functional.linear(left, right, bias)

    monkeypatch.setattr(products, "_product_of_onednn", counted)
    monkeypatch.setattr(products, "_has_onednn", lambda: True)
    return shapes


@pytest.mark.parametrize(("rows", "columns", "depth"), [(2, 2, 2), (17, 33, 5), (64, 1024, 128), (3, 2, 300)])
def test_products_are_those_of_the_plain_operator(taken, rows, columns, depth):
    torch.manual_seed(1)
    left, right, bias = torch.randn(rows, depth), torch.randn(columns, depth), torch.randn(columns)
    turned_left, turned_right = left.T.contiguous().T, right.T.contiguous().T
    for one, other in ((left, right), (turned_left, right), (left, turned_right), (turned_left, turned_right)):
        torch.testing.assert_close(by_row(one, other), left @ right.T)
        torch.testing.assert_close(by_row(one, other, bias), left @ right.T + bias)
    assert taken == [(rows, columns)] * 8


def test_what_onednn_does_not_do_faster_is_left_to_the_plain_operator(taken):
    table = torch.randn(6, 4)
    for left, right in (
        (torch.randn(1, 4), table),
        (torch.empty(0, 4), table),
        (torch.randn(3, 4).double(), table.double()),
        (torch.randn(3, 4).bfloat16(), table.bfloat16()),
    ):
        torch.testing.assert_close(by_row(left, right), left @ right.T)
    with torch.autocast("cpu", torch.bfloat16):
        assert by_row(torch.randn(3, 4), table).dtype == torch.bfloat16
    assert taken == []


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 6)])
def test_layers_and_their_gradients_are_those_of_the_library(taken, shape, has_bias):
    torch.manual_seed(2)
    layer, inputs = Linear(6, 4, bias=has_bias), torch.randn(shape, requires_grad=True)
    weights = [inputs, *layer.parameters()]
    upstream = torch.randn(*shape[:-1], 4)
    outputs = layer(inputs)
    found = torch.autograd.grad(outputs, weights, upstream)
    plain = functional.linear(inputs, layer.weight, layer.bias)
    torch.testing.assert_close(outputs, plain)
    torch.testing.assert_close(found, torch.autograd.grad(plain, weights, upstream))
    assert len(taken) == 3


def test_a_weight_that_is_not_trained_gets_no_gradient(taken):
    inputs, weight = torch.randn(5, 6, requires_grad=True), torch.randn(4, 6)
    linear(inputs, weight).sum().backward()
    torch.testing.assert_close(inputs.grad, weight.sum(0).expand(5, 6))
    assert len(taken) == 2


def test_a_pytorch_without_the_product_takes_its_own(monkeypatch):
    def missing(*given):
        raise AttributeError("no such operator")

    monkeypatch.setattr(products, "_product_of_onednn", missing)
    products._has_onednn.cache_clear()
    try:
        left, right = torch.randn(3, 4), torch.randn(5, 4)
        assert not products._has_onednn()
        torch.testing.assert_close(by_row(left, right), left @ right.T)
    finally:
        products._has_onednn.cache_clear()
