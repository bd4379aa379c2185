"""Widths, sharing and padding of the input tables."""

import pytest
import torch

from transformers4recsys.batch import IS_PAST, Batch, Jagged, with_past
from transformers4recsys.errors import InputError
from transformers4recsys.model.features import (
    ONE_HOT_ITEM,
    FeatureEmbedder,
    FeatureSettings,
    table_width,
    with_table_widths,
)
from transformers4recsys.model.merges import MERGES
from transformers4recsys.schema import Schema


@pytest.mark.parametrize(("cardinality", "width"), [(16, 4), (390_000, 50), (10_000, 20), (2, 3)])
def test_table_width_is_twice_the_fourth_root_rounded_up(cardinality, width):
    assert table_width(cardinality) == width


def test_tables_of_an_earlier_run_stay_as_wide_and_others_take_the_multiplier():
    entries = {"item_id": {"dtype": "categorical", "cardinality": 81, "is_label": True}}
    earlier = with_table_widths(Schema.from_entries(entries))
    wider = with_table_widths(Schema.from_entries(entries), multiplier=7)
    brand = {"brand": {"dtype": "categorical", "cardinality": 16}}
    both = with_table_widths(Schema.from_entries(entries | brand), earlier, multiplier=7)
    assert [earlier.item_id.width, wider.item_id.width] == [6, 21]
    assert {feature.name: feature.width for feature in both.categorical} == {"item_id": 6, "brand": 14}


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


def test_a_table_takes_from_the_generator_what_nn_embedding_and_its_first_weights_do():
    torch.manual_seed(1)
    table = FeatureEmbedder(ITEM_ALONE, FeatureSettings(inp_merge="none"), d_model=5, item_width=5).item_table
    number = torch.rand(())
    torch.manual_seed(1)
    plain = torch.nn.Embedding(31, 5, padding_idx=0)
    torch.nn.init.normal_(plain.weight, std=0.02)
    assert torch.equal(table.weight[1:], plain.weight[1:]) and table.padding_idx == 0 and table.weight.requires_grad
    assert torch.rand(()) == number


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


def test_numbers_become_mixtures_before_the_merge(schema, make_batch):
    torch.manual_seed(0)
    settings = FeatureSettings(numeric_features_soft_one_hot=True, numeric_features_project_to_embedding_dim=5)
    embedder = FeatureEmbedder(schema, settings, d_model=8)
    batch = make_batch([[1, 2, 3], [4, 5]])
    ids = [embedder.table_of(feature)(batch.columns[feature.name].values) for feature in embedder.categorical]
    mixed = embedder.soft_one_hot(batch.columns["price"].values[:, None])
    torch.testing.assert_close(embedder(batch), embedder.merge(torch.cat([*ids, mixed], dim=1)))
    assert mixed.shape == (5, 5)


def test_each_vector_is_normalised_by_itself_and_a_number_is_left(schema, make_batch):
    torch.manual_seed(0)
    embedder = FeatureEmbedder(
        schema, FeatureSettings(layer_norm_featurewise=True, inp_merge="attn"), d_model=8, initializer_range=1.0
    )
    seen = []
    embedder.merge.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = make_batch([[1, 2, 3], [4, 5]])
    embedder(batch)
    item, category, price = seen[0].split(embedder.widths, dim=1)
    for vectors in (item, category):
        torch.testing.assert_close(vectors.mean(1), torch.zeros(5), atol=1e-5, rtol=0)
        torch.testing.assert_close(vectors.square().mean(1), torch.ones(5), atol=1e-3, rtol=0)
    assert torch.equal(price[:, 0], batch.columns["price"].values)


def test_replaced_ids_come_from_the_batch_in_training_alone(schema, make_batch):
    torch.manual_seed(0)
    settings = FeatureSettings(stochastic_shared_embeddings_replacement_prob=0.25)
    embedder = FeatureEmbedder(schema, settings, d_model=8)
    batch = make_batch([[3] * 1_000 + [7] * 1_000])
    item = embedder.item
    drawn = embedder._ids(batch, item)
    assert set(drawn.tolist()) == {3, 7}
    # A quarter is drawn anew, half of which is the id that was there.
    assert (drawn != batch.columns["item_id"].values).float().mean() == pytest.approx(0.125, abs=0.03)
    assert torch.equal(embedder.eval()._ids(batch, item), batch.columns["item_id"].values)
