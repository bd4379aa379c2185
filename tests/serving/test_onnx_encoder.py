import numpy as np
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender
from transformers4recsys.serving import onnx_encoder

for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="the extra `onnx` is not installed")

SESSIONS = [[3, 7, 1], [5], [2, 9, 4, 8, 30], [999]]
FILTERS = {"k": 5, "exclude_seen": True, "exclude": [12], "candidates": range(1, 25), "fallback": "popular"}


def test_all_filters_work_as_with_torch(run_train):
    recommender = Recommender.load(run_train(), device="cpu")
    expected, calls = recommender.recommend(SESSIONS, **FILTERS), []
    recommender.inference.model.register_forward_pre_hook(lambda *args: calls.append(args))

    assert onnx_encoder.use_onnx(recommender, threads=1) < 1e-5
    calls.clear()
    found = recommender.recommend(SESSIONS, **FILTERS)

    assert not calls
    assert found.drop(["score"]).equals(expected.drop(["score"]))
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-5)


def test_scores_that_differ_are_noticed(run_train, monkeypatch):
    recommender = Recommender.load(run_train(), device="cpu")
    monkeypatch.setattr(onnx_encoder.OnnxEncoder, "__call__", lambda self, batch: torch.zeros(len(batch), 16))

    with pytest.raises(InputError, match="`model_type` gru: ONNX Runtime does not give what the model gives"):
        onnx_encoder.use_onnx(recommender, threads=1)
