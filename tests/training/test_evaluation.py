"""The evaluation loop on batches in memory, against numbers worked out by hand."""

from contextlib import nullcontext

import pytest
import torch

from transformers4recsys.batch import ALL_ITEMS, Batch, Jagged, dummy_batch
from transformers4recsys.errors import DivergedError, InputError
from transformers4recsys.training import evaluation as loop
from transformers4recsys.training.evaluation import Evaluation

SESSIONS = [[3, 7, 9], [4, 5], [5, 6, 7, 8], [1, 2]]
NUM_REAL_ITEMS = 30


class Batches:
    """A reader over batches that are there already."""

    def __init__(self, batches):
        self.all = batches
        self.num_rows = sum(map(len, batches))

    def __len__(self):
        return len(self.all)

    def batches(self, epoch):
        return iter(self.all)


def evaluate(model, batches, every=1, report_cold=False, excludes_seen=False, **options):
    how = {"device": torch.device("cpu"), "autocast": nullcontext, "description": "", **options}
    evaluation = Evaluation(
        compute_metrics_each_n_steps=every,
        predict_top_k=5,
        report_cold=report_cold,
        exclude_seen_in_evaluation=excludes_seen,
    )
    return evaluation.run(model, Batches(batches), **how)


@pytest.fixture
def model(schema, make_model):
    model = make_model(schema, "gru")
    model.item_counts += 1
    return model


@pytest.fixture
def constant_model(model):
    with torch.no_grad():
        model.scorer.table.zero_()
    return model


def test_a_constant_scorer_gets_the_hit_rate_of_chance(constant_model, make_batch):
    numbers = evaluate(constant_model, [make_batch(SESSIONS)])
    for k in (5, 10, 20):
        assert numbers[f"recall@{k}"] == pytest.approx(k / NUM_REAL_ITEMS)
    assert numbers["recall@100"] == 1
    expected = sum(1 / rank for rank in range(1, 6)) / NUM_REAL_ITEMS
    assert numbers["mrr@5"] == pytest.approx(expected)
    assert numbers["loss"] == pytest.approx(torch.tensor(float(NUM_REAL_ITEMS)).log().item())


def test_ranks_are_those_of_a_full_sort(model, make_batch):
    batch = make_batch(SESSIONS)
    with torch.no_grad():
        output = model(batch)
        scores = model.scores(output.hidden)
    order = scores[:, 1:].argsort(dim=1, descending=True) + 1
    ranks = [order[row].tolist().index(label) + 1 for row, label in enumerate(output.labels.tolist())]
    numbers = evaluate(model, [batch])
    assert numbers["recall@10"] == pytest.approx(sum(rank <= 10 for rank in ranks) / len(ranks))
    assert numbers["avg_precision@20"] == pytest.approx(sum(1 / r for r in ranks if r <= 20) / len(ranks))
    assert numbers["num_targets"] == 7


def test_means_are_over_targets_not_over_batches(model, make_batch):
    whole = evaluate(model, [make_batch(SESSIONS)])
    parts = evaluate(model, [make_batch(SESSIONS[:1]), make_batch(SESSIONS[1:])])
    assert parts == pytest.approx(whole, rel=1e-6)


def test_labels_never_trained_on_are_misses(model, make_batch):
    model.item_counts[[5, 6]] = 0
    numbers = evaluate(model, [make_batch([[4, 5], [5, 6], [1, 2], [2, 3]])])
    assert numbers["unseen_label_share"] == 0.5
    assert numbers["recall@1000"] == 0.5


def test_seen_and_never_seen_labels_are_told_apart(model, make_batch):
    batches = [make_batch([[4, 5], [5, 6]]), make_batch([[1, 2], [2, 3], [3, 4]])]
    # With all items seen no label is a miss: these are the ranks.
    of_unseen, of_seen = (evaluate(model, [batch]) for batch in batches)
    model.item_counts[[5, 6]] = 0
    numbers = evaluate(model, batches, report_cold=True)
    assert numbers["unseen_label_share"] == 0.4
    for name in ("recall@5", "mrr@20", "ndcg@1000"):
        assert numbers[f"cold_{name}"] == pytest.approx(of_unseen[name])
        assert numbers[f"seen_{name}"] == pytest.approx(of_seen[name])
        assert numbers[name] == pytest.approx(0.6 * of_seen[name])
    assert of_unseen["mrr@20"] > 0
    assert evaluate(model, batches[1:], report_cold=True)["cold_recall@5"] is None
    assert not any(name.startswith(("cold", "seen")) for name in evaluate(model, batches))


def test_the_most_popular_items_are_those_of_training(model, make_batch):
    model.item_counts.zero_()
    model.item_counts[[2, 3, 4, 9]] = torch.tensor([40, 30, 20, 10])
    numbers = evaluate(model, [make_batch([[1, 2], [1, 3], [1, 9], [1, 8]])])
    assert numbers["most_popular_mrr@5"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 0) / 4)


def test_items_seen_in_the_session_are_not_ranked(model, make_batch):
    with torch.no_grad():
        model.scorer.table.zero_()
        model.scorer.item_bias[:, 0] = -torch.arange(31.0)
    # Ranks of 3 and 4 behind 1 and 2; then the label 2 stands in the session, and is ranked behind 1 all the same.
    batches = [make_batch([[1, 2, 3, 4], [2, 3, 2]])]
    every, unseen = evaluate(model, batches), evaluate(model, batches, excludes_seen=True)
    assert every["mrr@5"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 3 + 1 / 2) / 5)
    assert unseen["mrr@5"] == pytest.approx((1 + 1 + 1 + 1 / 2 + 1 / 2) / 5)
    assert unseen["repeated_label_share"] == 0.2 and "repeated_label_share" not in every
    assert unseen["loss"] == every["loss"]


def test_popular_items_that_were_seen_are_not_ranked_either(model, make_batch):
    model.item_counts[[2, 3, 4]] += torch.tensor([30, 20, 10])
    numbers = evaluate(model, [make_batch([[2, 3, 4]])], excludes_seen=True)
    assert numbers["most_popular_mrr@5"] == 1


def test_items_cut_off_a_long_row_are_seen_too(model, make_batch):
    with torch.no_grad():
        model.scorer.table.zero_()
        model.scorer.item_bias[:, 0] = -torch.arange(31.0)
    batch = make_batch([[2, 3, 9], [4, 5]])
    whole = Batch({**batch.columns, ALL_ITEMS: Jagged.from_lists([[1, 7, 2, 3, 9], [4, 5]], torch.long)})
    kept = []
    numbers = evaluate(model, [whole], excludes_seen=True, on_predictions=kept.append)
    assert numbers["mrr@5"] == pytest.approx((1 + 1 / 5 + 1 / 4) / 3)
    assert kept[0].item_ids.tolist() == [[3, 4, 5, 6, 8], [4, 5, 6, 8, 9], [1, 2, 3, 5, 6]]


def test_no_batch_gives_no_numbers(model):
    numbers = evaluate(model, [])
    assert numbers["recall@20"] is None and numbers["loss"] is None and numbers["num_targets"] == 0


def test_attentions_of_a_dummy_are_not_written(schema, make_model, make_batch, monkeypatch):
    model = make_model(schema, "gpt2", has_attentions=True)
    model.item_counts += 1
    batches, written, ways = [make_batch(SESSIONS[:2])], [], loop._ways

    def with_a_dummy(*given):
        rank, top, read, number = ways(*given)
        return rank, top, iter([*read, dummy_batch(schema)]), number + 1

    monkeypatch.setattr(loop, "_ways", with_a_dummy)
    evaluate(model, batches, on_attentions=lambda inputs, weights: written.append(len(inputs)))
    assert written == [2]


def test_attentions_of_a_model_that_was_not_built_for_them_are_an_error(schema, make_model, make_batch):
    """Without their last items, which such a model does not read, they would not fit the sessions."""
    model, batches = make_model(schema, "gpt2", has_attentions=True), [make_batch(SESSIONS[:2])]
    model.item_counts += 1
    sizes = []
    evaluate(model, batches, on_attentions=lambda items_BL, layers: sizes.append((items_BL.shape, layers[0].shape)))
    assert sizes == [((2, 3), (2, 2, 3, 3))]
    model.has_attentions = False
    with pytest.raises(InputError, match="has_attentions=True"):
        evaluate(model, batches, on_attentions=lambda *_: None)
    assert model(batches[0]).attentions is None


def test_some_batches_may_be_left_out(model, make_batch):
    batches = [make_batch([session]) for session in SESSIONS]
    assert evaluate(model, batches, every=2)["num_targets"] == 2 + 3
    assert evaluate(model, batches, max_batches=3)["num_targets"] == 2 + 1 + 3


def test_predictions_hold_the_best_items_and_where_their_label_stands(model, make_batch):
    kept = []
    evaluate(model, [make_batch(SESSIONS)], on_predictions=kept.append)
    (predictions,) = kept
    assert predictions.labels.tolist() == [7, 9, 5, 6, 7, 8, 2]
    assert predictions.positions.tolist() == [1, 2, 1, 1, 2, 3, 1]
    assert predictions.lengths.tolist() == [3, 3, 2, 4, 4, 4, 2]
    assert predictions.item_ids.shape == (7, 5) and (predictions.item_ids > 0).all()
    assert (predictions.scores.diff(dim=1) <= 0).all()


def test_evaluation_leaves_a_training_model_in_training(model, make_batch):
    model.train()
    evaluate(model, [make_batch(SESSIONS)])
    assert model.training


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error_not_a_miss(bad, model, make_batch):
    handed_on = []
    batches = [make_batch(SESSIONS[:2]), make_batch(SESSIONS[2:])]
    with torch.no_grad():
        # Of an item that is nobody's label.
        model.scorer.item_bias[30] = bad
    for on_predictions in (None, handed_on.append):
        with pytest.raises(DivergedError, match="evaluate 2019-10-02: a score of an item is not a finite number"):
            evaluate(model, batches, description="evaluate 2019-10-02", on_predictions=on_predictions)
    assert handed_on == []


def test_a_model_that_counted_nothing_is_refused(schema, make_model, make_batch):
    with pytest.raises(InputError, match="call `observe` with the training batches"):
        evaluate(make_model(schema, "gru"), [make_batch(SESSIONS)])


def test_a_model_trained_by_hand_has_true_metrics_from_the_first_step(schema, make_model, make_batch):
    model, batch = make_model(schema, "gru").train(), make_batch(SESSIONS)
    model.observe([batch])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model(batch).loss.backward()
        optimizer.step()
    numbers = evaluate(model, [batch])
    assert numbers["recall@5"] > 0.9 and numbers["unseen_label_share"] == 0
