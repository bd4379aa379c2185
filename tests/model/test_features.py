"""Widths, sharing and padding of the input tables."""

import pytest
import torch

from transformers4recsys.batch import IS_PAST, Batch, Jagged, with_past
from transformers4recsys.errors import InputError
from transformers4recsys.model.features import (
    MERGES,
    ONE_HOT_ITEM,
    AttentionMerge,
    FeatureEmbedder,
    FeatureSettings,
    NumericScale,
    table_width,
)
from transformers4recsys.schema import Schema


@pytest.mark.parametrize(("cardinality", "width"), [(16, 4), (390_000, 50), (10_000, 20), (2, 3)])
def test_table_width_is_twice_the_fourth_root_rounded_up(cardinality, width):
    assert table_width(cardinality) == width


def test_columns_that_name_one_table_share_it():
    schema = Schema.from_entries(
        {
            "item_id": {"dtype": "categorical", "cardinality": 100, "emb_table": "product", "is_label": True},
            "compared_with": {"dtype": "categorical", "cardinality": 100, "emb_table": "product"},
            "brand": {"dtype": "categorical", "cardinality": 16},
        }
    )
    embedder = FeatureEmbedder(schema, d_model=8, item_width=6)
    assert {name: tuple(table.weight.shape) for name, table in embedder.tables.items()} == {
        "table product": (100, 6),
        "table brand": (16, 4),
    }
    assert embedder.merge.linear.in_features == 6 + 6 + 4


def test_only_real_positions_are_embedded(schema, make_batch):
    embedder = FeatureEmbedder(schema, d_model=8)
    assert embedder(make_batch([[1, 2, 3], [4, 5]])).shape == (5, 8)


def test_the_padding_row_is_zero_and_stays_so(schema):
    embedder = FeatureEmbedder(schema, d_model=8)
    assert torch.equal(embedder.item_table.weight[0], torch.zeros_like(embedder.item_table.weight[0]))
    embedder.item_table(torch.tensor([0, 1])).sum().backward()
    assert embedder.item_table.weight.grad[0].abs().max() == 0
    assert embedder.item_table.weight.grad[1].abs().max() > 0


def test_a_one_hot_item_equals_a_linear_layer_on_one_hot_vectors(schema, make_batch):
    torch.manual_seed(0)
    embedder = FeatureEmbedder(schema, FeatureSettings(use_ohe_item_ids_inputs=True), d_model=8)
    assert set(embedder.tables) == {ONE_HOT_ITEM, "table category"} and embedder.item_table.weight.shape == (31, 8)
    batch = make_batch([[1, 30, 3], [4, 5]])
    one_hot = torch.nn.functional.one_hot(batch.columns["item_id"].values, 31).float()
    category = embedder.tables["table category"](batch.columns["category"].values)
    concatenated = torch.cat(
        [one_hot @ embedder.item_table.weight, category, batch.columns["price"].values[:, None]], dim=1
    )
    torch.testing.assert_close(embedder(batch), embedder.merge(concatenated))


def test_a_one_hot_item_leaves_a_shared_table_to_the_other_columns():
    schema = Schema.from_entries(
        {
            "item_id": {"dtype": "categorical", "cardinality": 100, "emb_table": "product", "is_label": True},
            "compared_with": {"dtype": "categorical", "cardinality": 100, "emb_table": "product"},
        }
    )
    embedder = FeatureEmbedder(schema, FeatureSettings(use_ohe_item_ids_inputs=True), d_model=8)
    assert embedder.table_of(schema.features[1]) is embedder.tables["table product"] is not embedder.item_table


def test_attention_merge_weighs_whole_features():
    torch.manual_seed(0)
    merge = AttentionMerge([3, 1], 4, layer_norm_eps=1e-12)
    concatenated = torch.randn(5, 4)
    normal = merge.before(concatenated)
    first, second = merge.values[0](normal[:, :3]), merge.values[1](normal[:, 3:])
    for position in range(5):
        powers = [float(merge.score(value[position]).exp()) for value in (first, second)]
        mixed = (powers[0] * first[position] + powers[1] * second[position]) / sum(powers)
        torch.testing.assert_close(merge(concatenated)[position], merge.after(mixed))


def test_attention_merge_of_one_feature_is_its_linear_layer():
    merge = AttentionMerge([3], 4, layer_norm_eps=1e-12)
    concatenated = torch.randn(2, 3)
    torch.testing.assert_close(merge(concatenated), merge.after(merge.values[0](merge.before(concatenated))))


@pytest.mark.parametrize("name", sorted(MERGES.keys() - {"none"}))
def test_every_merge_reads_every_column(name, schema, make_batch):
    torch.manual_seed(0)
    embedder = FeatureEmbedder(schema, FeatureSettings(inp_merge=name), d_model=8, initializer_range=1.0)
    batch = make_batch([[1, 2], [4, 5]])
    before = embedder(batch)
    assert before.shape == (4, 8)
    for column in ("item_id", "category", "price"):
        # Another value at the first position: that position changes, no other.
        values = batch.columns[column].values.clone()
        values[0] += 1
        other = Jagged(values, batch.columns[column].offsets, batch.columns[column].max_length)
        after = embedder(Batch({**batch.columns, column: other}))
        assert (after[0] - before[0]).abs().max() > 1e-4 and torch.equal(after[1:], before[1:])


@pytest.mark.parametrize("name", ["items", "keys", "product.id", "product%2Eid", "training"])
def test_a_column_may_have_any_name(name):
    entries = {name: {"dtype": "categorical", "cardinality": 9, "is_label": True}, "product_id": {"dtype": "float"}}
    features = FeatureEmbedder(Schema.from_entries(entries), d_model=4)
    batch = Batch({key: Jagged.from_lists([[1, 2, 3]]) for key in entries})
    assert features(batch).shape == (3, 4)


def scaled(values: list[float], *, means: list[float], stds: list[float]) -> list[float]:
    scale = NumericScale(1)
    for mean, std in zip(means, stds, strict=True):
        scale.fit([mean], [std])
    return scale(torch.tensor(values)[:, None])[:, 0].tolist()


def test_a_column_far_from_the_unit_is_standardised_by_itself():
    assert scaled([4000.0, 5000.0, 7000.0], means=[5000.0], stds=[2000.0]) == pytest.approx([-0.5, 0.0, 1.0])
    assert scaled([3e38, -3e38], means=[-1e38], stds=[2e38]) == pytest.approx([2.0, -1.0])


def test_a_column_near_the_unit_is_taken_as_it_is():
    values = [0.1, -1.7, 2.9]
    for mean, std in ((0.0, 1.0), (-1.5, 0.9), (3.0, 0.1), (0.5, 3.0)):
        assert scaled(values, means=[mean], stds=[std]) == torch.tensor(values).tolist()


def test_a_column_that_hardly_varies_on_the_first_day_is_not_blown_up():
    # The sine of a weekday on a day with a few sessions past midnight: the next day is another weekday.
    assert scaled([0.78, 0.97], means=[0.78], stds=[0.01]) == pytest.approx([0.78, 0.97])


def test_the_scale_is_that_of_the_first_day_on_which_the_column_varies():
    assert scaled([10.0, 30.0], means=[20.0, 500.0], stds=[5.0, 100.0]) == [-2.0, 2.0]
    # On the first day all prices are 1000: what differs later stays of their order until the column has a scale.
    assert scaled([1000.0, 3000.0], means=[1000.0], stds=[0.0]) == [0.0, 2.0]
    assert scaled([1000.0, 3000.0], means=[1000.0, 2000.0], stds=[0.0, 500.0]) == [-2.0, 2.0]
    assert scaled([0.0, 2.0], means=[0.0], stds=[0.0]) == [0.0, 2.0]


def test_the_scale_is_part_of_the_weights(schema, make_batch):
    embedder, other = FeatureEmbedder(schema, d_model=8), FeatureEmbedder(schema, d_model=8)
    embedder.scale.fit([900.0], [30.0])
    other.load_state_dict(embedder.state_dict())
    batch = make_batch([[1, 2, 3]])
    assert torch.equal(other(batch), embedder(batch))
    assert (other.scale.mean_C.item(), other.scale.std_C.item()) == (900.0, 30.0)


def test_positions_of_the_past_stand_at_the_mean_of_a_column_without_past():
    entries = {
        "item": {"dtype": "categorical", "cardinality": 9, "is_label": True},
        "bef_item": {"dtype": "categorical", "cardinality": 9, "emb_table": "item"},
        "cents": {"dtype": "float"},
        "age": {"dtype": "long"},
        "bef_age": {"dtype": "long"},
    }
    schema = Schema.from_entries(entries, past_prefix="bef_")
    columns = {"item": [[1, 2]], "bef_item": [[3]], "cents": [[500.0, 700.0]], "age": [[1, 2]], "bef_age": [[5]]}
    batch = with_past(Batch({name: Jagged.from_lists(lists) for name, lists in columns.items()}), schema)
    assert batch.columns[IS_PAST].values.tolist() == [True, False, False]
    embedder = FeatureEmbedder(schema, d_model=8)
    embedder.scale.fit([600.0, 1.0], [100.0, 1.0])
    assert embedder._numbers(batch, embedder.scale).tolist() == [[0.0, 5.0], [-1.0, 1.0], [1.0, 2.0]]


ITEM_ALONE = Schema.from_entries({"item_id": {"dtype": "categorical", "cardinality": 31, "is_label": True}})


def test_one_feature_is_taken_as_it_is(make_batch):
    embedder = FeatureEmbedder(ITEM_ALONE, FeatureSettings(inp_merge="none", item_embedding_dim=8), d_model=8)
    vectors = embedder(make_batch([[1, 30], [4]]))
    assert torch.equal(vectors, embedder.item_table.weight[[1, 30, 4]])


@pytest.mark.parametrize("width", [None, 6])
def test_more_features_or_another_width_need_a_merge(width, schema):
    of = {None: schema, 6: ITEM_ALONE}[width]
    with pytest.raises(InputError, match="`inp_merge` none takes one feature that is `d_model` 8 wide"):
        FeatureEmbedder(of, FeatureSettings(inp_merge="none"), d_model=8, item_width=width)


def test_input_dropout_stands_in_for_dropout(make_batch):
    def share_of_zeros(**settings):
        torch.manual_seed(0)
        embedder = FeatureEmbedder(ITEM_ALONE, FeatureSettings(**settings), d_model=64, dropout=0.5)
        return float((embedder(make_batch([[1, 2, 3] * 20])) == 0).double().mean())

    assert share_of_zeros() == pytest.approx(0.5, abs=0.05)
    assert share_of_zeros(input_dropout=0.2) == pytest.approx(0.2, abs=0.05)
    assert share_of_zeros(input_dropout=0.0) == 0


def test_first_weights_have_a_deviation_by_table(schema):
    settings = FeatureSettings(item_embedding_dim=200, item_id_embeddings_init_std=0.5, other_embeddings_init_std=3.0)
    torch.manual_seed(0)
    tables = FeatureEmbedder(schema, settings, d_model=8).tables
    assert tables["table item_id"].weight.shape == (31, 200)
    assert float(tables["table item_id"].weight[1:].std()) == pytest.approx(0.5, rel=0.05)
    assert float(tables["table category"].weight[1:].std()) == pytest.approx(3.0, rel=0.5)


def test_one_hot_items_have_a_width_of_their_own():
    with pytest.raises(InputError, match="`use_ohe_item_ids_inputs` and `item_embedding_dim` exclude each other"):
        FeatureSettings(use_ohe_item_ids_inputs=True, item_embedding_dim=8)
