"""Recommending equals evaluating: from raw events, by the Recommender, by the server, and by ONNX Runtime."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.model.encoders import ENCODERS
from transformers4recsys.recommender import Recommender

DAY = "2024-01-07"
# Reads a session in both directions, so it learns masked items alone.
MASKED_ONLY = {"bert", "albert", "electra", "roberta", "modernbert", "longformer"}
# One of their operations has no counterpart in ONNX.
NOT_EXPORTED = {"longformer", "mamba", "reformer"}
CONFIGS = {"all": {"session_aware": True}, "item": {"config": "features_item_id.yaml"}}
FLAGS = {
    "causal": {},
    "masked": {"mlm": True},
    "permuted": {"plm": True},
    "replaced": {"rtd": True, "rtd_sample_from_batch": True},
}
FAST = {("gpt2", "causal", "all"), ("xlnet", "masked", "item")}


def runs():
    """Every encoder with each of its tasks and configs; but for a few they are slow together."""
    for name in sorted(ENCODERS):
        for task in ("causal", "masked"):
            for config in CONFIGS:
                if task == "masked" or name not in MASKED_ONLY:
                    marks = () if (name, task, config) in FAST else pytest.mark.slow
                    yield pytest.param(name, task, config, marks=marks, id=f"{name}-{task}-{config}")
    for name, task in (("xlnet", "permuted"), ("electra", "replaced")):
        for config in CONFIGS:
            yield pytest.param(name, task, config, marks=pytest.mark.slow, id=f"{name}-{task}-{config}")


def without_last_item(shop, rows, sessions, *, last_of_user):
    """Raw events less those of the last item of each session in `rows`; give these sessions by their place in it."""
    log = pq.read_table(shop / "log.parquet").to_pandas()
    later = set()
    if last_of_user:
        known = pd.DataFrame([row for row in sessions if row["user_id"] is not None])
        later = set(known.session_id) - set(known.sort_values("session_start").groupby("user_id").tail(1).session_id)
    ends = {}
    for place, row in enumerate(rows):
        times = row["event_time"]
        if times[-1] > times[-2] and row["session_id"] not in later:
            ends[row["session_id"]] = (place, times[-1])
    end = log.visit.map({session: time for session, (_, time) in ends.items()}).astype("datetime64[us]")
    return log[~(log.time >= end)], {session: place for session, (place, _) in ends.items()}


def by_server(recommender, events):
    """Ask a server of this model; give rows as the Recommender does."""
    testclient = pytest.importorskip("fastapi.testclient", reason="the extra `serve` is not installed")
    from transformers4recsys.serving.app import create_app
    from transformers4recsys.serving.bounds import Bounds
    from transformers4recsys.serving.model_source import ModelSource
    from transformers4recsys.serving.service import Service

    app = create_app(
        ModelSource(recommender._run.path / "manifest.json", lambda: Service(recommender)),
        name="shop",
        bounds=Bounds(max_body="10MB"),
    )
    body = {"events": json.loads(events.to_json(orient="records", date_format="iso")), "k": 7}
    with testclient.TestClient(app) as client:
        answer = client.post("/recommend", json=body)
    rows = [{"session": one["session"], **each} for one in answer.json()["sessions"] for each in one["items"]]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("model_type", "task", "config"), runs())
def test_recommending_from_events_equals_evaluating(model_type, task, config, train_on_shop, shop, day_rows):
    flags = dict(FLAGS[task])
    if model_type == "xlnet" and task == "masked":
        flags["attn_type"] = "bi"
    output = train_on_shop(model_type=model_type, **flags, **CONFIGS[config])
    rows = day_rows("valid", [DAY])
    predictions = pq.read_table(output / "pred_logs" / f"preds_date_{DAY}.parquet").to_pylist()
    assert len(predictions) == len(rows)
    events, places = without_last_item(shop, rows, day_rows("train"), last_of_user=config == "all")
    assert len(places) > 5
    raw = pq.read_table(shop / "days" / "vocabulary" / "product.parquet").to_pandas().set_index("id").raw

    def check(found, tolerance):
        lists = found.groupby("session")
        for session, place in places.items():
            found, expected = lists.get_group(session), predictions[place]
            np.testing.assert_allclose(found.score, expected["rec_item_scores"], atol=tolerance)
            assert found["item"].tolist() == raw[expected["rec_item_ids"]].tolist()

    recommender = Recommender.load(output, device="cpu")
    check(recommender.recommend(events, k=7).to_pandas(), 1e-5)
    check(by_server(recommender, events), 1e-5)
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library, reason="the extra `onnx` is not installed")
    from transformers4recsys.serving.onnx_encoder import use_onnx

    if model_type in NOT_EXPORTED or task == "permuted":
        with pytest.raises(InputError, match="cannot be exported"):
            use_onnx(recommender, threads=1)
        return
    use_onnx(recommender, threads=1)
    check(recommender.recommend(events, k=7).to_pandas(), 1e-4)
