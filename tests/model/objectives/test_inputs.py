"""Objectives against the losses of scores that a loop gathers, and what settings they refuse."""

import math
from dataclasses import replace

import pytest
import torch

from transformers4recsys.batch import Batch, Jagged
from transformers4recsys.errors import InputError
from transformers4recsys.model.negatives import NegativeStore, among_all, among_seen
from transformers4recsys.model.objectives import OBJECTIVES, LossSettings, make_objective
from transformers4recsys.model.objectives.candidates import softmax_of_candidates
from transformers4recsys.model.objectives.catalogue import CatalogObjective, cross_entropy
from transformers4recsys.model.objectives.inputs import LossInputs, LossSetup, WeightedSum
from transformers4recsys.model.objectives.negative_columns import SIMILARITIES, NegativeColumnObjective
from transformers4recsys.model.objectives.pairwise import InBatchObjective, bpr
from transformers4recsys.model.objectives.sampled import SampledObjective, gbce
from transformers4recsys.schema import Schema
from transformers4recsys.settings import from_values

NUM_ITEMS, WIDTH = 9, 4
PAIRWISE_LOSSES = {name: loss.function for name, loss in OBJECTIVES.items() if loss.kind == "in_batch"}
NEGATIVE_COLUMN_LOSSES = {name: loss.function for name, loss in OBJECTIVES.items() if loss.kind == "negative_column"}
SETTINGS = {
    "negative_sampling": True,
    "neg_sampling_store_size": 100,
    "neg_sampling_extra_samples_per_batch": 3,
    "num_sampled_negatives": 5,
}


def objective_of(name, *, has_negative_column=True, label_smoothing=0.0, **settings):
    values = SETTINGS | {"loss_type": name} | settings
    facts = {"has_negative_column": has_negative_column, "label_smoothing": label_smoothing}
    return make_objective(from_values(LossSettings, values), LossSetup(width=WIDTH, num_items=NUM_ITEMS, **facts))


def inputs(labels=(1, 5, 2, 5, 7), rows=(0, 0, 1, 2, 2), negatives=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    item_bias = drawn(NUM_ITEMS, 1)
    if negatives is None:
        negatives = torch.randint(0, NUM_ITEMS, (len(labels), 3), generator=generator)
    return LossInputs(
        hidden_PE=drawn(len(labels), WIDTH),
        labels_P=torch.tensor(labels, dtype=torch.long),
        row_P=torch.tensor(rows, dtype=torch.long),
        item_table_VE=drawn(NUM_ITEMS, WIDTH),
        item_bias_V1=item_bias,
        item_counts_V=torch.tensor([0, 3, 1, 0, 2, 6, 0, 1, 4]),
        negatives_PK=negatives,
    )


def gradients(loss, given):
    return torch.autograd.grad(loss, [given.hidden_PE, given.item_table_VE], retain_graph=True)


def assert_alike(loss, expected, given):
    torch.testing.assert_close(loss, expected)
    for mine, of_twin in zip(gradients(loss, given), gradients(expected, given), strict=True):
        torch.testing.assert_close(mine, of_twin)


def score(given, position, item):
    return given.hidden_PE[position] @ given.item_table_VE[item] + given.bias_V[item]


def loss_of_lists(loss, given, negatives_of):
    """The mean of the loss over the predictions one by one, each with its own list of (item, correction)."""
    losses = []
    for position, label in enumerate(given.labels_P.tolist()):
        scores = [score(given, position, item) - correction for item, correction in negatives_of(position)]
        if scores:
            positive, negative = score(given, position, label)[None], torch.stack(scores)[None]
            losses.append(loss(positive, negative, torch.ones_like(negative, dtype=torch.bool)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("name", sorted(PAIRWISE_LOSSES))
def test_in_batch_objective_compares_with_targets_of_other_sessions_and_extras(name):
    given, store = inputs(), NegativeStore(among_seen, alpha=1.0, size=100)
    torch.manual_seed(4)
    loss = InBatchObjective(PAIRWISE_LOSSES[name], store, num_extra=6)(given)
    extras, labels, rows = store.ids[:6].tolist(), given.labels_P.tolist(), given.row_P.tolist()
    assert set(labels) & set(extras) and set(extras) <= {1, 2, 4, 5, 7, 8}

    def negatives_of(position):
        others = [label for label, row in zip(labels, rows, strict=True) if row != rows[position]]
        return [(item, 0.0) for item in others + extras if item != labels[position]]

    assert_alike(loss, loss_of_lists(PAIRWISE_LOSSES[name], given, negatives_of), given)


def test_one_session_without_extras_has_a_loss_of_zero():
    given = inputs(rows=(0, 0, 0, 0, 0))
    loss = InBatchObjective(bpr, NegativeStore(among_seen, alpha=0.0, size=10), num_extra=0)(given)
    assert float(loss) == 0
    assert all(gradient.abs().max() == 0 for gradient in gradients(loss, given))


@pytest.mark.parametrize("corrects_scores", [True, False])
def test_sampled_objective_compares_with_the_drawn_items(corrects_scores):
    given, store = inputs(), NegativeStore(among_all, alpha=0.5, size=100)
    torch.manual_seed(4)
    objective = SampledObjective(softmax_of_candidates, store, num_negatives=12, corrects_scores=corrects_scores)
    loss = objective(given)
    ids, labels = store.ids[:12].tolist(), given.labels_P.tolist()
    weights = [0.0] + [(count + 1) ** 0.5 for count in given.item_counts_V.tolist()[1:]]
    expected_counts = torch.tensor([12 * weight / sum(weights) for weight in weights])
    corrections = expected_counts.log() if corrects_scores else torch.zeros(NUM_ITEMS)

    def negatives_of(position):
        return [(item, corrections[item]) for item in ids if item != labels[position]]

    assert_alike(loss, loss_of_lists(softmax_of_candidates, given, negatives_of), given)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_each_prediction_can_have_negatives_of_its_own(alpha):
    given, store = inputs(), NegativeStore(among_all, alpha=alpha, size=100)
    objective = SampledObjective(softmax_of_candidates, store, num_negatives=6, has_own=True)
    torch.manual_seed(4)
    ids, labels = store.draw(5 * 6, given.item_counts_V).view(5, 6).tolist(), given.labels_P.tolist()
    torch.manual_seed(4)
    loss = objective(given)
    assert any(label in own for label, own in zip(labels, ids, strict=True)) and ids[0] != ids[1]

    def negatives_of(position):
        return [(item, 0.0) for item in ids[position] if item != labels[position]]

    assert_alike(loss, loss_of_lists(softmax_of_candidates, given, negatives_of), given)


@pytest.mark.parametrize("per", ["batch", "position"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_sampled_losses_score_the_vectors_that_are_made_of_the_rows(per, is_sparse):
    def rows_to_length_one(rows):
        return torch.nn.functional.normalize(rows, dim=-1)

    objective = objective_of("sampled_softmax", sampled_negatives_per=per, num_sampled_negatives=3)
    given = replace(inputs(dtype=torch.float32), has_sparse_gradients=is_sparse)
    made = replace(given, to_vectors=rows_to_length_one)
    twin = replace(given, item_table_VE=rows_to_length_one(given.item_table_VE), has_sparse_gradients=False)
    losses = []
    for each in (made, twin):
        torch.manual_seed(1)
        objective.objectives[0].store.num_used = 0
        losses.append(objective(each))
    torch.testing.assert_close(*losses)
    mine, of_twin = (torch.autograd.grad(loss, given.item_table_VE)[0] for loss in losses)
    assert mine.is_sparse == is_sparse
    torch.testing.assert_close(mine.to_dense() if is_sparse else mine, of_twin)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_sampled_softmax_tends_to_the_softmax_over_the_catalogue(alpha):
    given, store = inputs(), NegativeStore(among_all, alpha=alpha, size=1)
    torch.manual_seed(0)
    loss = SampledObjective(softmax_of_candidates, store, num_negatives=200_000, corrects_scores=True)(given)
    expected = cross_entropy(given.hidden_PE, given.item_table_VE, given.bias_V, given.labels_P)
    assert float(loss) == pytest.approx(float(expected), rel=0.01)


def test_sampled_objectives_move_only_the_rows_of_labels_and_drawn_items():
    given = inputs()
    loss = objective_of("gbce", num_sampled_negatives=2)(given)
    moved = gradients(loss, given)[1].abs().sum(dim=1).nonzero()[:, 0].tolist()
    assert len(moved) <= 4 + 2 and {1, 2, 5, 7} <= set(moved)


@pytest.mark.parametrize("similarity", sorted(SIMILARITIES))
@pytest.mark.parametrize("name", sorted(NEGATIVE_COLUMN_LOSSES))
def test_negative_column_objective_compares_label_and_negatives_by_similarity(name, similarity):
    torch.manual_seed(0)
    # Row by row: all real; one the label; two missing; a repeated one; none.
    given = inputs(negatives=torch.tensor([[2, 3, 4], [5, 1, 2], [8, 0, 0], [3, 3, 6], [0, 0, 0]]))
    of = SIMILARITIES[similarity](WIDTH).double()
    loss = NegativeColumnObjective(NEGATIVE_COLUMN_LOSSES[name], of)(given)
    similarities = torch.stack(
        [
            torch.stack([of(given.hidden_PE[p][None, None], given.item_table_VE[i][None, None])[0, 0] for i in items])
            for p, items in enumerate([[1, 2, 3, 4], [5, 5, 1, 2], [2, 8, 0, 0], [5, 3, 3, 6], [7, 0, 0, 0]])
        ]
    )
    is_negative = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0]]).bool()
    expected = NEGATIVE_COLUMN_LOSSES[name](similarities[:, 0], similarities[:, 1:], is_negative)
    assert_alike(loss, expected, given)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_without_a_prediction_the_loss_is_zero_and_can_be_differentiated(name):
    given = inputs(labels=(), rows=(), negatives=torch.zeros(0, 3, dtype=torch.long), dtype=torch.float32)
    objective = objective_of(name, neg_rescale_factor=1.0)
    loss = objective(given)
    assert float(loss) == 0
    loss.backward()
    assert given.item_table_VE.grad.abs().max() == 0 and given.hidden_PE.grad.shape == (0, WIDTH)
    assert all(weight.grad is not None for weight in objective.parameters())


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_is_finite_in_half_precision(name):
    given = inputs(dtype=torch.bfloat16)
    loss = objective_of(name, neg_rescale_factor=1.0, similarity_type="cosine")(given)
    assert torch.isfinite(loss) and all(torch.isfinite(gradient).all() for gradient in gradients(loss, given))


def test_factors_weigh_the_loss_over_the_catalogue_and_that_on_negatives():
    given = inputs()
    catalogue = objective_of("cross_entropy")(given)
    on_negatives = dict(all_rescale_factor=0.0, neg_rescale_factor=1.0, similarity_type="cosine")
    negatives = objective_of("margin_hinge_b", **on_negatives)(given)
    both = dict(all_rescale_factor=2.0, neg_rescale_factor=3.0, loss_scale_factor=0.5, similarity_type="cosine")
    torch.testing.assert_close(objective_of("margin_hinge_b", **both)(given), 0.5 * (2 * catalogue + 3 * negatives))
    torch.testing.assert_close(objective_of("cross_entropy_neg")(given), catalogue)
    torch.testing.assert_close(objective_of("cross_entropy", **both)(given), 0.5 * 2 * catalogue)


def test_settings_reach_the_losses():
    given = inputs()

    def loss(name, **settings):
        torch.manual_seed(0)
        return float(objective_of(name, neg_rescale_factor=1.0, similarity_type="cosine", **settings)(given))

    assert loss("cross_entropy", label_smoothing=0.3) != loss("cross_entropy")
    assert loss("bpr_max_reg", bpr_max_reg_lambda=0.3) > loss("bpr_max_reg") == loss("bpr_max")
    assert loss("top1_max_reg", bpr_max_reg_lambda=0.3) > loss("top1_max_reg") == loss("top1_max")
    assert loss("margin_hinge_a", margin_loss=-0.5) > loss("margin_hinge_a")
    assert loss("gbce", gbce_t=0.9) < loss("gbce", gbce_t=0.0)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("bpr2", {}, "`loss_type` 'bpr2' is unknown; did you mean bpr"),
        ("bpr", {"negative_sampling": False}, "add `negative_sampling`"),
        ("margin_hinge_a", {"neg_rescale_factor": 1.0, "has_negative_column": False}, "_neg_item_id"),
        ("margin_hinge_a", {"neg_rescale_factor": 1.0, "similarity_type": "dot"}, "`similarity_type` 'dot' is unknown"),
        ("margin_hinge_a", {"all_rescale_factor": 0.0}, "must not be 0"),
        ("cross_entropy", {"loss_scale_factor": 0.0}, "must not be 0"),
        ("gbce", {"num_sampled_negatives": 0}, "`num_sampled_negatives` 0: must be at least 1"),
        ("gbce", {"gbce_t": 1.5}, "`gbce_t` 1.5: must be at least 0 and at most 1"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_cure(name, settings, words):
    with pytest.raises(InputError, match=words):
        objective_of(name, **settings)


def test_the_model_hands_over_the_negatives_of_each_label(schema, make_batch, make_model):
    entries = schema.to_entries()
    with_negatives = Schema.from_entries(
        entries | {"_neg_item_id": {"dtype": "categorical", "cardinality": 31, "emb_table": "item_id"}}
    )
    model, seen = make_model(with_negatives, "gru").train(), []
    model.objective.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    negatives = Jagged.from_lists([[11, 12, 21, 22, 29, 30], [13, 14, 23, 24]], torch.long)
    model(Batch({**make_batch([[1, 2, 3], [4, 5]]).columns, "_neg_item_id": negatives}))
    assert seen[0].labels_P.tolist() == [2, 3, 5] and seen[0].row_P.tolist() == [0, 0, 1]
    assert seen[0].negatives_PK.tolist() == [[21, 22], [29, 30], [23, 24]]


def test_a_sum_keeps_the_weights_of_its_similarities():
    objective = objective_of("margin_hinge_a", neg_rescale_factor=1.0)
    assert isinstance(objective, WeightedSum) and isinstance(objective.objectives[0], CatalogObjective)
    assert any("similarity" in name for name in objective.state_dict())


def test_scores_that_would_not_learn_are_warned_of(caplog):
    only_negatives = {"all_rescale_factor": 0.0, "neg_rescale_factor": 1.0}
    objective_of("cross_entropy_neg", **only_negatives, similarity_type="cosine")
    assert not caplog.records
    objective_of("cross_entropy_neg", **only_negatives, similarity_type="multi_mlp")
    (record,) = caplog.records
    # What a command has shown before names settings as flags.
    message = record.getMessage().replace("`", "").replace("--", "")
    assert message.startswith("all_rescale_factor 0 with similarity_type multi_mlp: items are ranked by an inner")
    assert "choose similarity_type cosine, or all_rescale_factor 1" in message


def test_gbce_starts_at_the_odds_of_a_label_among_the_drawn_items():
    # k = 5 of the 7 items that are not the label: alpha = 5/7, and t = 1 makes beta the same.
    given, beta = inputs(), 5 / 7
    torch.manual_seed(4)
    objective = objective_of("gbce", gbce_t=1.0)
    loss = objective(given)
    ids, offset = objective.objectives[0].store.ids[:5].tolist(), math.log(beta / 5)
    labels = given.labels_P.tolist()

    def negatives_of(position):
        return [(item, -offset) for item in ids if item != labels[position]]

    def loss_of_one(positive, negative, is_negative):
        return gbce(positive + offset, negative, is_negative, beta=beta)

    assert_alike(loss, loss_of_lists(loss_of_one, given, negatives_of), given)


def test_a_loss_on_negatives_reaches_the_rows_it_reads_alone():
    negatives = torch.tensor([[3, 4], [4, 0]])
    given = replace(inputs(labels=(5, 7), rows=(0, 1), negatives=negatives), has_sparse_gradients=True)
    alone = dict(all_rescale_factor=0.0, neg_rescale_factor=1.0, similarity_type="cosine")
    loss = objective_of("cross_entropy_neg", **alone)(given)
    (gradient,) = torch.autograd.grad(loss, [given.item_table_VE])
    # 0 stands for "no negative".
    assert set(gradient.coalesce().indices()[0].tolist()) == {0, 3, 4, 5, 7}
