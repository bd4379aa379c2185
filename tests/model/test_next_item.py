"""What the scores of a session may and may not depend on, for every encoder."""

import pytest
import safetensors.torch
import torch

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.objectives import LossSettings, make_objective
from transformers4recsys.model.objectives.inputs import LossSetup
from transformers4recsys.model.targets import MaskedLastTarget, MaskedTargets
from transformers4recsys.schema import Schema
from transformers4recsys.settings import from_values

# Those that read in both directions cannot do the causal task.
BOTH_WAYS = {"albert", "bert", "electra", "longformer", "modernbert", "roberta"}
ENCODER_NAMES = sorted(ENCODERS.keys() - BOTH_WAYS)


def scores_by_target(model, batch):
    """{(row, position of the label): scores of all items}"""
    with torch.no_grad():
        output = model(batch)
        scores = model.scores(output.hidden)
    return {tuple(position.tolist()): row for position, row in zip(output.positions, scores, strict=True)}


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_every_later_item_of_a_session_is_predicted_once(name, schema, make_batch, make_model):
    output = make_model(schema, name)(make_batch([[3, 7, 9], [4, 5]]))
    assert output.labels.tolist() == [7, 9, 5]
    assert output.positions.tolist() == [[0, 1], [0, 2], [1, 1]]
    assert make_model(schema, name).scores(output.hidden).shape == (3, schema.item_id.cardinality)


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_the_target_changes_no_score_that_predicts_it(name, schema, make_batch, make_model):
    model = make_model(schema, name)
    before = scores_by_target(model, make_batch([[3, 7, 9, 12, 5]]))
    # The last item is not read at all.
    for sessions, same in (([[3, 7, 25, 12, 5]], (1, 2)), ([[3, 7, 9, 12, 25]], (1, 2, 3, 4))):
        after = scores_by_target(model, make_batch(sessions))
        for position in same:
            torch.testing.assert_close(after[0, position], before[0, position], rtol=0, atol=0)


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_to_read_the_last_item_of_each_session_would_change_nothing(
    name, schema, make_batch, make_model, monkeypatch: pytest.MonkeyPatch
):
    model, batch = make_model(schema, name, dropout=0).train(), make_batch([[3, 7, 9, 12], [4], [8, 5]])
    gradients, read = [], []
    model.features.register_forward_pre_hook(lambda _, given: read.append(given[0].columns["item_id"]))
    for reads_last in (False, True):
        monkeypatch.setattr(type(model), "_reads_last", lambda *_, reads_last=reads_last: reads_last)
        torch.manual_seed(0)
        model.zero_grad()
        model(batch).loss.backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
    assert [of.values.tolist() for of in read] == [[3, 7, 9, 4, 8], [3, 7, 9, 12, 4, 8, 5]]
    assert [of.max_length for of in read] == [3, 4]


def test_the_last_item_is_read_where_a_mask_stands_for_it_or_positions_are_counted_from_it(
    schema, make_batch, make_model
):
    model, batch = make_model(schema, "sasrec"), make_batch([[3, 7, 9, 12]])
    lengths = []
    model.encoder.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    model(batch)
    model.has_attentions = True
    model(batch)
    model.train()(batch)  # which gives no attentions
    model.has_attentions, model.counts_from_end = False, True
    model(batch)
    model.counts_from_end, model.training_targets = False, MaskedTargets()
    model(batch)
    assert lengths == [3, 4, 3, 4, 4]


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_an_early_item_changes_later_scores(name, schema, make_batch, make_model):
    model = make_model(schema, name)
    before = scores_by_target(model, make_batch([[3, 7, 9, 12]]))
    after = scores_by_target(model, make_batch([[4, 7, 9, 12]]))
    for position in ((0, 1), (0, 2), (0, 3)):
        assert (after[position] - before[position])[1:].abs().max() > 1e-4


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_padding_and_neighbours_are_inert(name, schema, make_batch, make_model):
    model = make_model(schema, name)
    alone = scores_by_target(model, make_batch([[3, 7, 9]]))
    beside = scores_by_target(model, make_batch([[5, 6], [3, 7, 9], list(range(1, 21))]))
    for position in (1, 2):
        torch.testing.assert_close(beside[1, position][1:], alone[0, position][1:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_padding_is_never_recommended(name, schema, make_batch, make_model):
    scores = scores_by_target(make_model(schema, name), make_batch([[3, 7]]))[0, 1]
    assert scores[0] == -torch.inf and torch.isfinite(scores[1:]).all()


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_saved_and_loaded_weights_score_alike(name, is_tied, schema, make_batch, make_model, tmp_path):
    model = make_model(schema, name, is_tied=is_tied)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = make_model(schema, name, is_tied=is_tied)
    with torch.no_grad():
        for weight in other.parameters():
            weight.normal_()
    batch = make_batch([[3, 7, 9]])
    assert not torch.equal(scores_by_target(other, batch)[0, 2], scores_by_target(model, batch)[0, 2])
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    assert torch.equal(scores_by_target(other, batch)[0, 2], scores_by_target(model, batch)[0, 2])


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_every_trained_weight_gets_a_gradient(name, schema, make_batch, make_model):
    model = make_model(schema, name).train()
    model(make_batch([[3, 7, 9], [4, 5]])).loss.backward()
    without = [key for key, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


@pytest.fixture
def aware_schema():
    entries = {
        "item_id": {"dtype": "categorical", "cardinality": 31, "is_label": True},
        "price": {"dtype": "float"},
        "bef_item_id": {"dtype": "categorical", "cardinality": 31, "emb_table": "item_id"},
    }
    return Schema.from_entries(entries, past_prefix="bef_")


def aware_batch(past, current):
    return Batch(
        {
            "item_id": Jagged.from_lists(current, torch.long),
            "price": Jagged.from_lists([[0.5] * len(session) for session in current], torch.float32),
            "bef_item_id": Jagged.from_lists(past, torch.long),
        }
    )


@pytest.mark.parametrize("name", ENCODER_NAMES)
def test_the_past_is_read_but_never_predicted(name, aware_schema, make_model):
    model = make_model(aware_schema, name)
    batch = aware_batch([[8, 9, 10], []], [[3, 7], [4, 5, 6]])
    output = model(batch)
    assert output.labels.tolist() == [7, 5, 6]
    assert output.positions.tolist() == [[0, 1], [1, 1], [1, 2]]
    before = scores_by_target(model, batch)
    after = scores_by_target(model, aware_batch([[2, 9, 10], []], [[3, 7], [4, 5, 6]]))
    assert (after[0, 1] - before[0, 1])[1:].abs().max() > 1e-4
    torch.testing.assert_close(after[1, 2][1:], before[1, 2][1:], rtol=0, atol=1e-5)


# XLNet reads in both directions here, the others as they are.
MASKED_NAMES = sorted(ENCODERS)


def masked(make_model, schema, name, **sizes):
    model = make_model(schema, name, **{"is_causal": False, "attn_type": "bi", **sizes})
    model.training_targets, model.evaluation_targets = MaskedTargets(0.5), MaskedLastTarget()
    torch.manual_seed(0)
    model.masked_item = torch.nn.Parameter(torch.randn(model.features.d_model))
    return model


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_a_masked_last_item_does_not_show_and_earlier_ones_do(name, schema, make_batch, make_model):
    model = masked(make_model, schema, name)
    sessions = [[3, 7, 9, 12], [3, 7, 9, 25], [4, 7, 9, 12]]
    first, other_target, other_early = (scores_by_target(model, make_batch([each])) for each in sessions)
    assert list(first) == [(0, 3)]
    torch.testing.assert_close(other_target[0, 3], first[0, 3], rtol=0, atol=0)
    assert (other_early[0, 3] - first[0, 3])[1:].abs().max() > 1e-4


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_padding_and_neighbours_are_inert_when_masked(name, schema, make_batch, make_model):
    model = masked(make_model, schema, name)
    alone = scores_by_target(model, make_batch([[3, 7, 9]]))
    beside = scores_by_target(model, make_batch([[5, 6], [3, 7, 9], list(range(1, 21))]))
    torch.testing.assert_close(beside[1, 2][1:], alone[0, 2][1:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_every_weight_that_trains_gets_a_gradient_when_masked(name, schema, make_batch, make_model):
    model = masked(make_model, schema, name).train()
    model(make_batch([[3, 7, 9, 12], [4, 5, 6], list(range(1, 21))])).loss.backward()
    idle = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert idle == []


def test_negatives_do_not_widen_a_session(make_model):
    entries = {"item_id": {"dtype": "categorical", "cardinality": 31, "is_label": True}}
    schema = Schema.from_entries(entries | {"_neg_item_id": {"dtype": "categorical", "cardinality": 31}})
    columns = {
        "item_id": Jagged.from_lists([[3, 7, 9]], torch.long),
        "_neg_item_id": Jagged.from_lists([list(range(1, 31))], torch.long),
    }
    assert make_model(schema, "gru")(Batch(columns)).inputs.tolist() == [[3, 7, 9]]


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_saved_and_loaded_weights_score_alike_when_masked(name, schema, make_batch, make_model, tmp_path):
    model, batch = masked(make_model, schema, name), make_batch([[3, 7, 9, 12]])
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = masked(make_model, schema, name)
    with torch.no_grad():
        for weight in other.parameters():
            weight.normal_()
    assert not torch.equal(scores_by_target(other, batch)[0, 3], scores_by_target(model, batch)[0, 3])
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    assert torch.equal(scores_by_target(other, batch)[0, 3], scores_by_target(model, batch)[0, 3])


def test_sparse_gradients_are_those_of_the_dense_tables(schema, make_batch, make_model):
    values = {"loss_type": "sampled_softmax", "neg_sampling_store_size": 50, "num_sampled_negatives": 8}
    gradients = []
    for is_sparse in (False, True):
        model = make_model(schema, "gru").train()
        model.encoder.eval()
        model.objective = make_objective(from_values(LossSettings, values), LossSetup(width=16, num_items=31))
        if is_sparse:
            model.make_gradients_sparse()
        torch.manual_seed(7)
        model(make_batch([[3, 7, 9], [4, 5]])).loss.backward()
        gradients.append([model.features.item_table.weight.grad, model.scorer.table.grad, model.scorer.item_bias.grad])
    for dense, sparse in zip(*gradients, strict=True):
        assert sparse.is_sparse and len(sparse.coalesce().indices()[0]) < 31
        torch.testing.assert_close(sparse.to_dense(), dense)


def test_a_model_reads_training_sessions_once_before_it_trains_on_them(schema, make_batch, make_model):
    model = make_model(schema, "gru")
    assert not model.has_counted
    batches = [make_batch([[3, 7, 3], [4, 28]]), make_batch([[7]])]
    # Prices, of 0.3, 0.7, 0.3, 0.4, 2.8 and 0.7, a thousand times as large.
    for batch in batches:
        batch.columns["price"].values.mul_(1000)
    model.observe(batches)
    assert model.has_counted
    assert {item: count for item, count in enumerate(model.item_counts.tolist()) if count} == {3: 2, 4: 1, 7: 2, 28: 1}
    sessions = {item: count for item, count in enumerate(model.session_counts.tolist()) if count}
    assert sessions == {0: 3, 3: 1, 4: 1, 7: 2, 28: 1}
    prices = torch.tensor([300.0, 700, 300, 400, 2800, 700])
    assert model.features.scale.mean_C.item() == pytest.approx(prices.mean().item())
    assert model.features.scale.std_C.item() == pytest.approx(prices.std(correction=0).item(), rel=1e-5)


def test_sessions_without_an_item_are_counted_too(schema, make_model):
    model = make_model(schema, "gru")
    model.observe([])
    assert model.has_counted and not model.item_counts.any()


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_training_repeats_with_the_seed(name, schema, make_batch, make_model):
    batch = make_batch([[3, 7, 9, 12], [4, 5], [6, 8, 9]])
    runs = []
    for seed in (1, 1, 2):
        model = masked(make_model, schema, name, dropout=0.5).train()
        torch.manual_seed(seed)
        for _ in range(2):
            model(batch).loss.backward()
        runs.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
