from collections.abc import Callable

import pytest
import torch

from transformers4recsys.baselines import BASELINES, BaselineSettings
from transformers4recsys.baselines.model import BaselineModel
from transformers4recsys.errors import InputError
from transformers4recsys.metrics.catalogue import all_scores
from transformers4recsys.model.targets import CausalLastTarget, CausalTargets
from transformers4recsys.schema import Schema

SESSIONS = [[1, 2, 3, 4], [2, 3], [7, 2, 3, 9, 2], [4, 1, 1]]


def schema_of(num_items: int) -> Schema:
    return Schema.from_entries(
        {"item_id": {"dtype": "categorical", "cardinality": num_items, "is_label": True}, "price": {"dtype": "float"}}
    )


@pytest.fixture
def make() -> Callable[..., BaselineModel]:
    def make_model(name, num_items=12, targets=None):
        return BaselineModel(BaselineSettings().make(name), schema_of(num_items), targets or CausalTargets())

    return make_model


def scores_of(model, batch):
    return all_scores(model(batch).hidden, None, model.bias)


@pytest.mark.parametrize("name", BASELINES)
def test_scores_come_from_what_stands_before(name, make, make_batch):
    model = make(name)
    model.learn(make_batch(SESSIONS), 1)
    output = model(make_batch([[2, 3, 9], [4, 1]]))
    assert output.labels.tolist() == [3, 9, 1] and output.positions.tolist() == [[0, 1], [0, 2], [1, 1]]
    changed = model(make_batch([[2, 3, 5], [4, 6]]))
    scores, others = (all_scores(each.hidden, None, model.bias) for each in (output, changed))
    assert torch.equal(scores, others) and scores[:, 1:].any()
    last = make(name, targets=CausalLastTarget())
    last.load_state_dict(model.state_dict())
    assert torch.equal(scores_of(last, make_batch([[2, 3, 9], [4, 1]])), scores[1:])


@pytest.mark.parametrize("name", BASELINES)
def test_state_goes_to_weights_and_back_also_into_a_larger_vocabulary(name, make, make_batch):
    model = make(name)
    model.add_counts(torch.arange(12), torch.arange(12))
    model.learn(make_batch(SESSIONS[:2]), 1)
    model.learn(make_batch(SESSIONS[2:]), 3)
    batch = make_batch([[2, 3], [9, 2, 1]])
    for num_items in (12, 20):
        other = make(name, num_items)
        other.load_state_dict(model.state_dict())
        assert other.item_counts.tolist() == [*range(12), *[0] * (num_items - 12)]
        scores = scores_of(other, batch)
        assert torch.equal(scores[:, :12], scores_of(model, batch)) and scores.shape[1] == num_items
        # It goes on counting as if it had never been written.
        other.learn(make_batch([[3, 11], [11, 2]]), 4)
        assert all(torch.isfinite(value).all() for value in other.state_dict().values())


def test_the_state_from_before_sessions_were_counted_is_read(make):
    earlier = make("popular").state_dict()
    del earlier["session_counts"]
    model = make("popular", 20)
    model.load_state_dict(earlier)
    assert model.session_counts.tolist() == [0] * 20


def test_the_state_of_another_baseline_is_refused(make):
    with pytest.raises(InputError, match="lacks 'pairs'"):
        make("rules").load_state_dict(make("popular").state_dict())
