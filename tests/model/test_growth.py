import pyarrow as pa
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.growth import GrowthSettings, groups_of, grown_weights, with_zero_rows

# Ids 1 to 3 have occurred, 4 is a spare one; 0 is padding.
SAVED = {
    "scorer.table": torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0], [8.0, 9.0], [50.0, 50.0]]),
    "scorer.item_bias": torch.tensor([[0.0], [1.0], [2.0], [6.0], [50.0]]),
    "item_counts": torch.tensor([0, 5, 1, 2, 0]),
    "features.tables.category.weight": torch.tensor([[0.0], [10.0]]),
    "linear": torch.tensor([[1.0, 1.0]]),
    "encoder.positions.weight": torch.ones(2, 1),
}
OWN = {
    "scorer.table": torch.full((7, 2), 0.25),
    "scorer.item_bias": torch.zeros(7, 1),
    "item_counts": torch.zeros(7, dtype=torch.long),
    "features.tables.category.weight": torch.full((3, 1), 0.5),
    "linear": torch.tensor([[9.0, 9.0]]),
    "encoder.positions.weight": torch.zeros(4, 1),
}


def test_old_rows_keep_their_bits_and_what_has_not_grown_is_as_it_was():
    for policy in ("mean", "features", "random"):
        grown = grown_weights(SAVED, OWN, policy=policy)
        for name, value in SAVED.items():
            assert torch.equal(grown[name][: len(value)], value)
            sizes = {name: len(value) for name, value in grown.items()}
        # Positions are no vocabulary.
        assert sizes == {name: len(value) for name, value in OWN.items()} | {"encoder.positions.weight": 2}


def test_new_items_begin_around_the_mean_of_items_that_have_occurred():
    grown = grown_weights(SAVED, OWN)

    assert grown["scorer.table"][5:].tolist() == [[4.25, 5.25]] * 2
    assert grown["scorer.item_bias"][5:].tolist() == [[3.0]] * 2
    assert grown["features.tables.category.weight"][2:].tolist() == [[10.5]]
    assert grown["item_counts"].tolist() == [0, 5, 1, 2, 0, 0, 0]


def test_new_items_begin_around_those_that_share_a_value():
    category, brand = torch.tensor([-1, 0, 0, 1, 1, 0, 2]), torch.tensor([-1, 0, 1, 0, 1, 0, -1])

    table = grown_weights(SAVED, OWN, policy="features", groups=[category, brand])["scorer.table"]

    # Of its category (1, 2) and (3, 4), of its brand (1, 2) and (8, 9).
    assert table[5].tolist() == [(2.0 + 4.5) / 2 + 0.25, (3.0 + 5.5) / 2 + 0.25]
    # Nothing is like the other one.
    assert table[6].tolist() == [4.25, 5.25]


def test_random_rows_are_those_of_the_model():
    assert grown_weights(SAVED, OWN, policy="random")["scorer.table"][5:].tolist() == [[0.25, 0.25]] * 2


def test_moments_of_new_rows_are_zero():
    assert with_zero_rows(torch.ones(2, 3), 4).tolist() == [[1.0] * 3] * 2 + [[0.0] * 3] * 2


def test_groups_are_the_values_of_the_item_tables_columns():
    table = pa.table({"raw": ["a", "b", "c"], "id": [3, 1, 2], "brand": ["x", "y", "x"], "price": [1.0, 2.0, 3.0]})

    assert [group.tolist() for group in groups_of(table, 5)] == [[-1, 1, 0, 0, -1]]


def test_an_unknown_policy_is_named():
    with pytest.raises(InputError, match="`new_items` 'means' is unknown; did you mean mean"):
        GrowthSettings(new_items="means")
