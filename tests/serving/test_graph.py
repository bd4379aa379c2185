import pytest
import torch

from transformers4recsys.model.build import ModelSettings, build_model
from transformers4recsys.serving.graph import RecommendationGraph
from transformers4recsys.settings import from_values

SESSIONS = [[3, 7, 1], [5], [2, 9, 4, 8]]


def padded(sessions):
    item_ids = torch.zeros(len(sessions), max(map(len, sessions)), dtype=torch.long)
    for row, session in enumerate(sessions):
        item_ids[row, : len(session)] = torch.tensor(session)
    return {"item_id": item_ids, "category": item_ids % 4 + 1, "price": item_ids.float() / 10}


@pytest.mark.parametrize("settings", [{}, {"positions_from_end": True}, {"score": "cosine", "temperature": 0.1}])
@pytest.mark.parametrize("name", ["gpt2", "gru", "sasrec", "ligr", "core"])
def test_it_gives_the_scores_of_the_model(name, settings, schema, make_batch):
    values = {"model_type": name, "d_model": 16, "n_layer": 2, "n_head": 2, "eval_on_last_item_seq_only": True}
    values |= {"initializer_range": 0.2}
    model = build_model(schema, from_values(ModelSettings, values | settings), max_length=24).eval()
    graph = RecommendationGraph(model, k=30).eval()

    with torch.no_grad():
        item_ids_BK, scores_BK = graph(padded(SESSIONS), torch.zeros(3, 1, dtype=torch.long))
        # The model predicts what stands behind a session's last item but one.
        expected_BV = model.scores(model(make_batch([[*session, 1] for session in SESSIONS])).hidden)

    torch.testing.assert_close(scores_BK, expected_BV.gather(1, item_ids_BK), atol=1e-5, rtol=1e-5)
    assert (item_ids_BK.sort(1).values == torch.arange(1, 31)).all()


def test_excluded_items_are_never_among_the_best(schema, make_model):
    graph = RecommendationGraph(make_model(schema, "gru"), k=28).eval()
    excluded_BX = torch.tensor([[4, 5], [6, 0], [7, 8]])

    with torch.no_grad():
        item_ids_BK, _ = graph(padded(SESSIONS), excluded_BX)

    assert not set(item_ids_BK[0].tolist()) & {4, 5}
    assert not set(item_ids_BK[1].tolist()) & {6}
    assert not set(item_ids_BK[2].tolist()) & {7, 8}
