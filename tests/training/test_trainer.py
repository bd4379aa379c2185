"""What a day restarts, and what carries over to the next."""

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from transformers4recsys.batch import dummy_batch
from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.model.targets import MaskedTargets
from transformers4recsys.schema import Schema
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.trainer import RecSysTrainer, Schedule, format_metrics

CONSTANT = Schedule()


class Sessions:
    """A reader of eight equal batches."""

    num_rows = num_steps = 8

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return 8

    def batches(self, epoch):
        return (self.batch for _ in range(8))


class Rates(TrainerCallback):
    """Keeps the learning rate of each step."""

    def __init__(self):
        self.rates = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **others):
        self.rates.append(optimizer.param_groups[0]["lr"])


@pytest.fixture
def make_trainer(schema, make_model, make_batch, tmp_path):
    def make(schedule=CONSTANT, **settings):
        arguments = {"learning_rate": 0.8, "num_train_epochs": 1, "save_strategy": "no", "use_cpu": True, **settings}
        rates = Rates()
        trainer = RecSysTrainer(
            make_model(schema, "gru"),
            TrainingArguments(str(tmp_path), **arguments),
            schedule=schedule,
            evaluation=Evaluation(),
            callbacks=[rates],
        )
        trainer.train_reader = Sessions(make_batch([[1, 2, 3], [4, 5]]))
        return trainer, rates

    return make


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant_with_warmup", 4), [0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8]),
        (Schedule("linear_with_warmup"), [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        # One cosine wave over 8 steps: 0.4 x (1 + cos(2 pi x step / 8)).
        (
            Schedule("cosine_with_warmup", learning_rate_num_cosine_cycles_by_epoch=1),
            [0.8, 0.6828, 0.4, 0.1172, 0, 0.1172, 0.4, 0.6828],
        ),
    ],
)
def test_the_schedule_restarts_each_day(schedule, expected, make_trainer):
    trainer, rates = make_trainer(schedule)
    trainer.train()
    trainer.train()
    assert rates.rates[:8] == pytest.approx(expected, abs=1e-4)
    assert rates.rates[8:] == pytest.approx(rates.rates[:8])


def test_a_new_rate_takes_the_place_of_that_of_a_resumed_optimizer(make_trainer):
    earlier, _ = make_trainer(Schedule("linear_with_warmup"))
    earlier.train()
    trainer, rates = make_trainer(Schedule("linear_with_warmup"), learning_rate=0.4)
    trainer.create_optimizer().load_state_dict(earlier.optimizer.state_dict())
    trainer.train()
    assert rates.rates == pytest.approx([0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05])


def test_optimizer_and_weights_carry_over(make_trainer):
    trainer, _ = make_trainer(learning_rate=0.001)
    trainer.train()
    weight = trainer.model.item_table
    after_one = weight.detach().clone()
    assert trainer.optimizer.state[weight]["step"] == 8
    trainer.train()
    assert trainer.optimizer.state[weight]["step"] == 16
    assert not torch.equal(weight, after_one)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_dummy_batch_goes_through_every_weight_and_teaches_nothing(name, schema, make_model):
    model = make_model(schema, name, is_causal=False, attn_type="bi").train()
    model.training_targets, model.masked_item = MaskedTargets(), torch.nn.Parameter(torch.randn(16))
    model(dummy_batch(schema)).loss.backward()
    for weight in model.parameters():
        assert not weight.requires_grad or torch.equal(weight.grad, torch.zeros_like(weight))


def test_a_dummy_batch_has_every_column():
    entries = {
        "item": {"dtype": "categorical", "cardinality": 9, "is_label": True},
        "price": {"dtype": "float"},
        "time": {"dtype": "timestamp"},
        "bef_item": {"dtype": "categorical", "cardinality": 9, "emb_table": "item"},
        "_neg_item": {"dtype": "categorical", "cardinality": 9, "emb_table": "item"},
    }
    batch = dummy_batch(Schema.from_entries(entries, past_prefix="bef_"))
    assert {name: column.values.tolist() for name, column in batch.columns.items()} == {
        **{"item": [0], "price": [0.0], "time": [0], "bef_item": [], "_neg_item": [0]}
    }
    assert batch.columns["price"].values.dtype == torch.float and batch.columns["bef_item"].values.dtype == torch.long


def test_numbers_are_told_in_words_and_so_is_that_there_are_none():
    assert format_metrics({"eval_recall@20": 0.25, "eval_ndcg@20": 0.125}, "eval") == "recall@20 0.2500, ndcg@20 0.1250"
    assert "metrics are null" in format_metrics({"eval_recall@20": None, "eval_ndcg@20": None}, "eval")


@pytest.mark.parametrize("name", ["adamw_bnb_8bit", "lion_32bit", "schedule_free_adamw", "grokadamw"])
def test_an_optimizer_whose_package_is_missing_is_named(name, make_trainer):
    with pytest.raises(InputError, match=f"`optim` {name} cannot be used: .*[Ii]nstall"):
        make_trainer(optim=name)


def test_gradients_are_left_alone_where_none_is_to_be_clipped(make_trainer):
    trainer, _ = make_trainer(max_grad_norm=2.0)
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    for size, is_clipped in ((0.0, False), (1.9, False), (4.0, True)):
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        weights[-1].grad.view(-1)[0] = size
        before = [weight.grad._version for weight in weights]
        assert trainer._clip_grad_norm(trainer.model) == size
        assert weights[-1].grad.view(-1)[0] == pytest.approx(min(size, 2.0))
        assert ([weight.grad._version for weight in weights] != before) == is_clipped
