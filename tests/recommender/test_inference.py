"""What a model reads when it is asked for the item after a session."""

import numpy as np
import pytest
import torch

from transformers4recsys.data.parquet.ragged import RaggedTable
from transformers4recsys.recommender import inference
from transformers4recsys.recommender.inference import Inference, Sessions, inputs_of
from transformers4recsys.schema import Schema


def sessions_of(lists):
    values = np.array([item for session in lists for item in session], dtype=np.int64)
    columns = {"item_id": values, "category": values % 4 + 1, "price": (values / 10).astype(np.float32)}
    return Sessions(RaggedTable(np.cumsum([0, *map(len, lists)]), columns))


@pytest.fixture
def causal(schema, make_model):
    return Inference(make_model(schema, "gru"), session_length_max=4, past_length_max=2, device=torch.device("cpu"))


def test_the_hidden_state_is_that_of_the_last_item(causal, make_batch, schema, make_model):
    model = make_model(schema, "gru")
    [hidden] = causal.encode(sessions_of([[3, 7], [5]]))
    with torch.no_grad():
        # The position of 7 predicts 1, that of 5 predicts 2.
        expected = model(make_batch([[3, 7, 1], [5, 2]])).hidden[[1, 2]]
    torch.testing.assert_close(hidden, expected)


def test_one_place_of_the_longest_session_is_for_the_next_item(causal):
    [long] = causal.encode(sessions_of([[9, 3, 7, 5]]))
    [short] = causal.encode(sessions_of([[3, 7, 5]]))
    assert torch.equal(long, short)


def test_many_sessions_go_in_parts(causal, monkeypatch):
    monkeypatch.setattr(inference, "SESSIONS_AT_A_TIME", 2)
    parts = list(causal.encode(sessions_of([[1], [2], [3]])))
    assert [len(part) for part in parts] == [2, 1]
    assert causal.scores(parts[1]).shape == (1, 31)


def test_the_model_reads_inputs_alone():
    entries = {
        "item": {"dtype": "categorical", "cardinality": 5, "is_label": True},
        "bef_item": {"dtype": "categorical", "cardinality": 5, "emb_table": "item"},
        "time": {"dtype": "timestamp", "is_control": True},
        "bef_time": {"dtype": "timestamp", "is_control": True},
        "_neg_item": {"dtype": "categorical", "cardinality": 5, "emb_table": "item"},
    }
    schema = inputs_of(Schema.from_entries(entries, past_prefix="bef_"))
    assert [feature.name for feature in schema.columns] == ["item", "bef_item"]
