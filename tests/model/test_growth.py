import pyarrow as pa
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model import growth
from transformers4recsys.model.growth import GrowthSettings, groups_of, has_more_rows, nearest_groups, place_new_rows

# Ids 1 to 3 have occurred, 4 is a spare one; 0 is padding, 5 and 6 are new, of which the model has fresh rows.
TABLE = [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0], [8.0, 9.0], [50.0, 50.0], [0.25, 0.25], [0.25, 0.25]]
IS_KNOWN = torch.tensor([False, True, True, True, False])


def placed(table=TABLE, is_known=IS_KNOWN, **given):
    table = torch.tensor(table)
    before = table[: len(is_known)].clone()
    place_new_rows(table, is_known, **given)
    assert torch.equal(table[: len(is_known)], before)
    return table[len(is_known) :].tolist()


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 2**16])
def test_new_items_begin_around_the_mean_of_items_that_have_occurred(rows_at_a_time, monkeypatch):
    monkeypatch.setattr(growth, "ROWS_AT_A_TIME", rows_at_a_time)
    assert placed() == [[4.25, 5.25]] * 2
    assert placed([[0.0], [1.0], [2.0], [6.0], [50.0], [0.0]]) == [[3.0]]
    assert placed([0, 5, 1, 2, 0, 7]) == [0]


@pytest.mark.parametrize("rows_at_a_time", [1, 2**16])
def test_new_items_begin_around_those_that_share_a_value(rows_at_a_time, monkeypatch):
    monkeypatch.setattr(growth, "ROWS_AT_A_TIME", rows_at_a_time)
    category, brand = torch.tensor([-1, 0, 0, 1, 1, 0, 2]), torch.tensor([-1, 0, 1, 0, 1, 0, -1])

    first, second = placed(policy="features", groups=[category, brand])

    # Of its category (1, 2) and (3, 4), of its brand (1, 2) and (8, 9).
    assert first == [(2.0 + 4.5) / 2 + 0.25, (3.0 + 5.5) / 2 + 0.25]
    # Nothing is like the other one.
    assert second == [4.25, 5.25]


@pytest.mark.parametrize("new_at_a_time", [1, 64])
def test_new_items_begin_around_those_of_the_most_similar_vectors(new_at_a_time, monkeypatch):
    monkeypatch.setattr(growth, "NUM_NEAREST", 2)
    monkeypatch.setattr(growth, "NEW_AT_A_TIME", new_at_a_time)
    # Items 1 and 3 are nearest to 5 by the cosine, whatever their length; 4 would be nearer, and has not occurred.
    vectors = torch.tensor([[0, 0], [9.0, 0], [-1, 0.5], [1, 1], [3, 1], [6, 2], [0, 0]])

    first, second = placed(policy="features", groups=nearest_groups(vectors, IS_KNOWN))

    assert first == [(1.0 + 8.0) / 2 + 0.25, (2.0 + 9.0) / 2 + 0.25]
    # It has no vector.
    assert second == [4.25, 5.25]


@pytest.mark.parametrize("policy", ["mean", "features"])
def test_tables_grow_on_a_device_without_float64(policy, without_float64):
    table_V, category_V = torch.zeros(7, 2, device=without_float64), torch.tensor([-1, 0, 0, 1, 1, 0, 2])
    place_new_rows(table_V, IS_KNOWN, policy=policy, groups=[category_V])
    assert table_V.shape == (7, 2) and table_V.device.type == without_float64


def test_without_vectors_on_both_sides_nothing_is_near():
    assert nearest_groups(torch.tensor([[0.0], [0], [0], [0], [0], [1], [1]]), IS_KNOWN) == []
    assert nearest_groups(torch.tensor([[0.0], [1], [1], [1], [1], [0], [0]]), IS_KNOWN) == []


def test_random_rows_are_those_of_the_model():
    assert placed(policy="random") == [[0.25, 0.25]] * 2


def test_tables_of_ids_alone_grow():
    assert has_more_rows("scorer.table", (7, 2), (5, 2)) and has_more_rows("item_counts", (7,), (5,))
    # Positions are no vocabulary.
    assert not has_more_rows("encoder.positions.weight", (4, 1), (2, 1))
    assert not has_more_rows("scorer.table", (7, 3), (5, 2)) and not has_more_rows("scorer.table", (5, 2), (7, 2))


def test_groups_are_the_values_of_the_item_tables_columns():
    table = pa.table({"raw": ["a", "b", "c"], "id": [3, 1, 2], "brand": ["x", "y", "x"], "price": [1.0, 2.0, 3.0]})

    assert [group.tolist() for group in groups_of(table, 5)] == [[-1, 1, 0, 0, -1]]


def test_an_unknown_policy_is_named():
    with pytest.raises(InputError, match="`new_items` 'means' is unknown; did you mean mean"):
        GrowthSettings(new_items="means")
