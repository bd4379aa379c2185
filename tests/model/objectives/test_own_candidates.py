"""Products with candidates of each prediction, against the gathered ones."""

import pytest
import torch

from transformers4recsys.model.objectives.own_candidates import distinct, plain_products, products

# Repeated ones, in no order, and an item that nobody has (3).
PLACES_PK = torch.tensor([[4, 0, 4], [2, 1, 0], [0, 0, 0], [1, 4, 2]])


# Repeated once more, there are more candidates than items.
@pytest.mark.parametrize("places_PK", [PLACES_PK, PLACES_PK.repeat(1, 2)], ids=["few", "more than items"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chosen_products_and_their_gradients_equal_gathered_ones(dtype, places_PK):
    generator = torch.Generator().manual_seed(0)
    hidden_PE = torch.randn(4, 6, generator=generator, dtype=dtype).requires_grad_()
    items_UE = torch.randn(5, 6, generator=generator, dtype=dtype).requires_grad_()

    found_PK, expected_PK = products(hidden_PE, items_UE, places_PK), plain_products(hidden_PE, items_UE, places_PK)

    torch.testing.assert_close(found_PK, expected_PK)
    gradients = [torch.autograd.grad(each.sin().sum(), [hidden_PE, items_UE]) for each in (found_PK, expected_PK)]
    for mine, of_twin in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, of_twin)
    assert not gradients[0][1][3].any()


def test_hidden_states_of_half_precision_are_multiplied_in_full():
    items_UE = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    hidden_PE = torch.ones(4, 6, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found_PK = products(hidden_PE, items_UE, PLACES_PK)
    torch.testing.assert_close(found_PK, items_UE.sum(1)[PLACES_PK])
    found_PK.sum().backward()
    assert hidden_PE.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("num_items", [9, 10**15])
def test_distinct_ids_by_hand(num_items):
    ids_U, places_PK = distinct(torch.tensor([[7, 2], [2, 5]]), num_items)
    assert ids_U.tolist() == [2, 5, 7] and places_PK.tolist() == [[2, 0], [0, 1]]
