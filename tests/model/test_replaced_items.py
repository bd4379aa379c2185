"""Items that a model puts in place of real ones, and the loss of telling them apart."""

import math

import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.model.replaced_items import ReplacedItems
from transformers4recsys.model.targets import TargetSettings
from transformers4recsys.settings import from_values

SIZES = {"d_model": 16, "n_layer": 1, "n_head": 2, "dropout": 0.0}
NAMES = ["item_id", "category", "price"]


def draw(batch, places, scores_PV, **settings):
    """Draw for targets whose scores of all items are given: the vectors of items are those of the unit."""
    task = ReplacedItems(4, TargetSettings(rtd=True, **settings), None)
    table = torch.eye(scores_PV.shape[1])
    zeros = torch.zeros(scores_PV.shape[1])
    places = torch.tensor(places, dtype=torch.long)
    return task.draw(batch, NAMES, item="item_id", place_P=places, hidden_PE=scores_PV, table_VE=table, bias_V=zeros)


def certain(*items):
    """Scores that leave no doubt."""
    scores = torch.full((len(items), 31), -1e4)
    scores[torch.arange(len(items)), torch.tensor(items)] = 1e4
    return scores


def test_drawn_items_stand_at_the_targets_and_what_changed_is_known(make_batch):
    batch = make_batch([[3, 7, 9], [4, 5]])
    other, is_replaced = draw(batch, [1, 4], certain(20, 5))
    assert other.columns["item_id"].values.tolist() == [3, 20, 9, 4, 5]
    # The second target was drawn as it was: it is a real item.
    assert is_replaced.tolist() == [False, True, False, False, False]
    assert torch.equal(other.columns["category"].values, batch.columns["category"].values)
    assert batch.columns["item_id"].values.tolist() == [3, 7, 9, 4, 5]


def test_padding_is_never_drawn(make_batch):
    scores = torch.zeros(1, 31)
    scores[0, 0] = 1e4
    for _ in range(20):
        other, _ = draw(make_batch([[3, 7]]), [1], scores)
        assert other.columns["item_id"].values.min() >= 1


def test_items_of_the_batch_come_with_all_their_columns(make_batch):
    batch = make_batch([[3, 7, 9], [4, 5]])
    other, is_replaced = draw(batch, [1, 4], certain(5, 7), rtd_sample_from_batch=True)
    assert other.columns["item_id"].values.tolist() == [3, 5, 9, 4, 7]
    assert is_replaced.tolist() == [False, True, False, False, True]
    for name in ("category", "price"):
        expected = batch.columns[name].values[torch.tensor([0, 4, 2, 3, 1])]
        assert torch.equal(other.columns[name].values, expected)


def test_items_are_drawn_by_the_softmax_of_their_scores(make_batch):
    torch.manual_seed(0)
    scores = torch.full((4_000, 31), -1e4)
    scores[:, 8], scores[:, 9] = math.log(3.0), 0.0
    other, _ = draw(make_batch([[1] * 4_000]), list(range(4_000)), scores)
    items = other.columns["item_id"].values
    assert set(items.tolist()) == {8, 9} and (items == 8).float().mean() == pytest.approx(0.75, abs=0.02)


def test_an_item_that_several_targets_have_is_drawn_as_one(make_batch):
    torch.manual_seed(0)
    # Equal scores: 2 and 3 are as likely, though three of four targets are 2.
    batch = make_batch([[2, 2, 2, 3] * 500])
    other, _ = draw(batch, list(range(2_000)), torch.zeros(2_000, 31), rtd_sample_from_batch=True)
    assert (other.columns["item_id"].values == 2).float().mean() == pytest.approx(0.5, abs=0.05)


def test_a_batch_without_targets_is_left_as_it_is(make_batch):
    batch = make_batch([[3]])
    for settings in ({}, {"rtd_sample_from_batch": True}):
        other, is_replaced = draw(batch, [], torch.zeros(0, 31), **settings)
        assert other.columns["item_id"].values.tolist() == [3] and not is_replaced.any()


def test_the_loss_is_the_cross_entropy_of_each_position():
    task = ReplacedItems(4, TargetSettings(rtd=True), None)
    hidden, is_replaced = torch.randn(3, 4), torch.tensor([True, False, False])
    chances = task.head(hidden)[:, 0].sigmoid()
    expected = -(chances[0].log() + (1 - chances[1]).log() + (1 - chances[2]).log()) / 3
    torch.testing.assert_close(task.loss(hidden, is_replaced), expected)


@pytest.mark.parametrize("is_tied", [True, False])
def test_a_tied_generator_is_the_encoder_itself(schema, make_batch, is_tied):
    settings = {"model_type": "electra", "rtd": True, "rtd_tied_generator": is_tied, **SIZES}
    model = build_model(schema, from_values(ModelSettings, settings), max_length=8)
    assert (model.replaced_items.encoder is None) == is_tied
    model.train()(make_batch([[1, 2, 3, 4, 5], [6, 7]])).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None] == []


def test_weights_of_both_losses(schema, make_batch):
    def loss(generator, discriminator):
        weights = {"rtd_generator_loss_weight": generator, "rtd_discriminator_loss_weight": discriminator}
        values = {"model_type": "electra", "rtd": True, "rtd_tied_generator": True, **weights, **SIZES}
        model = build_model(schema, from_values(ModelSettings, values), max_length=8).train()
        torch.manual_seed(1)
        return model(make_batch([[1, 2, 3, 4, 5], [6, 7]])).loss

    torch.testing.assert_close(loss(2.0, 3.0), 2 * loss(1.0, 0.0) + 3 * loss(0.0, 1.0))


def test_evaluation_has_no_part_of_it(schema, make_batch):
    values = {"model_type": "electra", "rtd": True, **SIZES}
    model = build_model(schema, from_values(ModelSettings, values), max_length=8).eval()
    before = model(make_batch([[3, 7, 9]])).hidden
    torch.nn.init.constant_(model.replaced_items.head[0].weight, 7.0)
    assert torch.equal(model(make_batch([[3, 7, 9]])).hidden, before)


def test_the_permuted_task_goes_with_no_other():
    with pytest.raises(InputError, match="`plm` is a task of its own"):
        TargetSettings(plm=True, rtd=True)
