"""Content of items against rows worked out by hand, in every place where a model reads or scores an item."""

from dataclasses import replace

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.content import ItemContent, ItemData, with_row_of_unseen
from transformers4recsys.settings import from_values

NUM_ITEMS = 31
COLD = [6, 20]
LOSSES = {
    "cross_entropy": {"label_smoothing": 0.1},
    "sampled_softmax": {"num_sampled_negatives": 5},
    "gbce": {"num_sampled_negatives": 5},
    "bpr_max": {"negative_sampling": True},
}


def item_data():
    generator = torch.Generator().manual_seed(3)
    categories = torch.arange(NUM_ITEMS) % 4 + 1
    vectors = torch.randn(NUM_ITEMS, 3, generator=generator)
    prices = torch.randn(NUM_ITEMS, generator=generator)
    for values in (categories, vectors, prices):
        values[0] = 0
    of_shop = torch.arange(NUM_ITEMS) % 3
    scales = {"list.price": torch.tensor([0.0, 1.0]).double()}
    return ItemData({"category": categories, "shop": of_shop}, {"list.price": prices}, scales, vectors)


def model_of(schema, *, seen=True, **values):
    smoothing = values.pop("label_smoothing", 0.0)
    values = {"model_type": "gru", "d_model": 8, "n_layer": 1, "dropout": 0.0, "item_features": ["category"], **values}
    settings = from_values(ModelSettings, values)
    model = build_model(schema, settings, max_length=9, item_data=item_data(), label_smoothing=smoothing)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)
    counts = torch.ones(NUM_ITEMS, dtype=torch.long)
    counts[[0, *([] if seen else COLD)]] = 0
    model.add_counts(counts, counts)
    return model


def by_hand(model, projection):
    data, content = item_data(), model.features.content
    tables = [model.features.table_of(model.schema.features[1]).weight, content.tables["table shop"].weight]
    parts = [table[codes] for table, codes in zip(tables, data.codes.values(), strict=True)]
    return torch.cat([*parts, data.numbers["list.price"][:, None], content.vectors.weight], 1) @ projection.weight.T


@pytest.mark.parametrize("tied", ["", "constrained_embeddings", "mf_constrained_embeddings"])
def test_rows_of_inputs_and_outputs_are_an_items_own_and_the_projection_of_what_is_known(schema, make_batch, tied):
    model = model_of(schema, **({tied: True} if tied else {}))
    content, items = model.features.content, model.features.item_table.weight

    output = by_hand(model, content.to_output)
    torch.testing.assert_close(model.item_table[1:], ((items if tied else model.scorer.table) + output)[1:])
    assert (content.to_input is None) == bool(tied)
    as_input = output if tied else by_hand(model, content.to_input)
    read = model.features._embedded(schema.item_id, torch.tensor([4, 9, 4]))
    torch.testing.assert_close(read, (items + as_input)[[4, 9, 4]])
    # What the loop over a batch scores is what the loss of a label alone reads.
    output = model.eval()(make_batch([[3, 7, 9]]))
    assert torch.isneginf(model.scores(output.hidden)[:, 0]).all()


@pytest.mark.parametrize("loss_type", LOSSES)
def test_losses_learn_content_from_items_that_could_be_clicked(schema, make_batch, loss_type):
    model = model_of(schema, seen=False, **LOSSES[loss_type], loss_type=loss_type).train()
    sessions = [[1, 2, 3], [8, 9], [30, 11, 4]]

    model(make_batch(sessions)).loss.backward()

    gradient = model.features.content.vectors.weight.grad
    assert (gradient[COLD] == 0).all()
    assert (gradient[[2, 3, 9, 11, 4]] != 0).any(dim=1).all()
    assert all(weight.grad is not None for weight in model.parameters())


def test_the_loss_is_that_over_the_seen_items(schema, make_batch):
    model = model_of(schema, seen=False).train()
    output = model(batch := make_batch([[1, 2, 3], [8, 9]]))
    with torch.no_grad():
        hidden = model.eval()(batch).hidden
        scores = model.scores(hidden).index_fill(1, torch.tensor(COLD), -torch.inf)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(scores, output.labels))


def test_scores_of_labels_and_of_candidates_are_those_of_the_whole_table(schema, make_batch, monkeypatch):
    model = model_of(schema, seen=False, unknown_share=0.5).train()
    kept = []
    monkeypatch.setattr(model.objective, "forward", lambda inputs: kept.append(inputs) or inputs.nothing())
    model(make_batch([[1, 2, 3], [8, 9]]))
    (inputs,) = kept
    rows = torch.arange(NUM_ITEMS)[inputs.rows_V]
    own, bias = model.scorer.table[rows], model.scorer.item_bias[rows, 0]
    table = own + by_hand(model, model.features.content.to_output)
    scores = inputs.hidden_PE @ table.T + bias
    torch.testing.assert_close(inputs.label_scores(), scores.gather(1, inputs.labels_P[:, None])[:, 0])
    ids = torch.tensor([5, 30, 5])
    torch.testing.assert_close(inputs.scores_of(ids), scores[:, ids])
    table_SE, bias_S, place_P = inputs.catalogue()
    of_seen = inputs.hidden_PE @ table_SE.T + bias_S
    torch.testing.assert_close(of_seen[:, 1:], scores[:, [i for i in range(1, NUM_ITEMS) if i not in COLD]])
    torch.testing.assert_close(of_seen.gather(1, place_P[:, None]), scores.gather(1, inputs.labels_P[:, None]))


def test_items_never_seen_get_the_mean_row_or_the_unknown_one(schema):
    rows, counts = torch.tensor([[9.0], [1.0], [5.0], [70.0]]), torch.tensor([0, 2, 1, 0])
    assert with_row_of_unseen(rows, counts, has_unknown=False).tolist() == [[3.0], [1.0], [5.0], [3.0]]
    assert with_row_of_unseen(rows, counts, has_unknown=True).tolist() == [[9.0], [1.0], [5.0], [9.0]]
    assert with_row_of_unseen(rows, torch.zeros(4), has_unknown=False).tolist() == rows.tolist()

    model = model_of(schema, seen=False)
    with torch.no_grad():
        model.scorer.item_bias[:, 0] = torch.arange(NUM_ITEMS)
    rest = [row for row in range(1, NUM_ITEMS) if row not in COLD]
    content = model.features.content.output_rows(torch.tensor(COLD))
    torch.testing.assert_close(model.item_table[COLD], model.scorer.table[rest].mean(0) + content)
    assert model.bias[COLD].tolist() == pytest.approx([sum(rest) / len(rest)] * 2)
    assert model.is_rankable_V.tolist() == [False] + [True] * (NUM_ITEMS - 1)


def test_what_was_read_comes_back_out_of_the_weights(schema):
    found = ItemData.of_weights(model_of(schema).state_dict())
    assert found is not None and found.vectors is not None
    for name in ("codes", "numbers", "scales"):
        given = getattr(item_data(), name)
        assert list(getattr(found, name)) == list(given)
        assert all(torch.equal(getattr(found, name)[key], value) for key, value in given.items())
    assert ItemData.of_weights({"scorer.table": torch.zeros(3)}) is None


def test_frozen_vectors_are_not_trained(schema):
    model = model_of(schema, item_vectors="some.parquet", freeze_item_vectors=True)
    assert model.features.content.vectors.weight.requires_grad is False


def test_an_item_of_which_nothing_is_known_cannot_be_ranked():
    data = item_data()
    vectors = data.vectors.clone()
    vectors[5] = 0
    content = ItemContent(replace(data, codes={}, numbers={}, vectors=vectors), {}, {}, input_width=4, output_width=4)
    assert content.is_known_V.tolist() == [row not in (0, 5) for row in range(NUM_ITEMS)]


def test_content_that_was_not_read_is_said(schema):
    settings = from_values(ModelSettings, {"model_type": "gru", "item_features": ["category"]})
    with pytest.raises(InputError, match="`item_features`.*item_data"):
        build_model(schema, settings, max_length=9)


def test_sparse_gradients_reach_the_vectors(schema, make_batch):
    losses, gradients = [], []
    for is_sparse in (False, True):
        model = model_of(schema, loss_type="gbce", num_sampled_negatives=5).train()
        if is_sparse:
            model.make_gradients_sparse()
        loss = model(make_batch([[1, 2, 3], [8, 9]])).loss
        loss.backward()
        gradient = model.features.content.vectors.weight.grad
        assert gradient.is_sparse == is_sparse
        losses.append(loss)
        gradients.append(gradient.to_dense())
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(gradients[1], gradients[0])
