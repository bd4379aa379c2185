import torch

from transformers4recsys.counted_items import CountsItems


def test_counts_are_summed_and_part_of_the_weights():
    model, other = CountsItems(4), CountsItems(4)
    assert not model.has_counted
    model.add_counts(torch.tensor([0, 2, 0, 1]))
    model.add_counts(torch.tensor([0, 1, 0, 0]))
    assert model.has_counted and model.item_counts.tolist() == [0, 3, 0, 1]
    other.load_state_dict(model.state_dict())
    assert other.has_counted and other.item_counts.tolist() == [0, 3, 0, 1]


def test_a_day_without_items_is_counted_too():
    model = CountsItems(4)
    model.add_counts(torch.zeros(4, dtype=torch.long))
    assert model.has_counted
