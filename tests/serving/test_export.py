import json

import numpy as np
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender
from transformers4recsys.serving.export import ExportSettings, export

for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="the extra `onnx` is not installed")


class Untraceable(torch.nn.Module):
    def forward(self, inputs_BLD, padding_mask_BL):
        raise RuntimeError("there is no graph of this")


SESSIONS = [[3, 7, 1], [5], [2, 9, 4, 8, 30]]


def lists_of_file(path, sessions, excluded=0):
    """Run an exported model with ONNX Runtime and what stands in the file beside it, as docs/export.md shows."""
    import onnxruntime

    beside = json.loads(path.with_suffix(".json").read_text())
    id_of = {raw: number for number, raw in enumerate(beside["raw_item_ids"]) if raw is not None}
    length = max(map(len, sessions))
    item_ids = np.array([[*map(id_of.get, session), *[0] * (length - len(session))] for session in sessions])
    inputs = {beside["item_column"]: item_ids, "excluded_item_ids": np.full((len(sessions), 1), excluded)}
    inputs |= {name: np.zeros(item_ids.shape, kind) for name, kind in beside["columns"].items() if name not in inputs}
    item_ids, scores = onnxruntime.InferenceSession(path).run(["item_ids", "scores"], inputs)
    return [[beside["raw_item_ids"][item] for item in row] for row in item_ids], scores


OF_LIGR = {"positions_from_end": True, "eval_on_last_item_seq_only": True, "score": "cosine", "temperature": 0.1}


@pytest.mark.parametrize(
    "flags",
    [{"model_type": "gpt2"}, {"model_type": "bert", "mlm": True}, {"model_type": "ligr", **OF_LIGR}],
    ids=["gpt2", "bert", "ligr"],
)
def test_the_file_gives_the_lists_of_the_recommender(run_train, toy_days, tmp_path, flags):
    (toy_days / "item.yaml").write_text("item_id: {dtype: categorical, cardinality: 31, is_label: true}\n")
    recommender = Recommender.load(run_train(feature_config=toy_days / "item.yaml", **flags))
    settings = ExportSettings(run="out", output=str(tmp_path / "deep" / "model.onnx"), k=6)

    assert export(recommender, settings, name="any") < 1e-5

    lists, scores = lists_of_file(tmp_path / "deep" / "model.onnx", SESSIONS)
    expected = recommender.recommend(SESSIONS, k=6)
    assert [item for row in lists for item in row] == expected.column("item").to_pylist()
    np.testing.assert_allclose(scores.flatten(), expected.column("score").to_numpy(), atol=1e-5)
    without, _ = lists_of_file(tmp_path / "deep" / "model.onnx", SESSIONS[:1], excluded=lists[0][0])
    assert without[0][:5] == lists[0][1:]


def test_a_model_with_features_is_exported_too(run_train, tmp_path):
    recommender = Recommender.load(run_train())
    path = tmp_path / "model.onnx"

    export(recommender, ExportSettings(run="out", output=str(path)), name="gru")

    beside = json.loads(path.with_suffix(".json").read_text())
    assert beside["columns"] == {"item_id": "int64", "price": "float32"}
    assert beside["k"] == 30
    assert beside["raw_item_ids"] == [None, *range(1, 31)]


def test_what_cannot_be_written_is_named_and_nothing_is_left(run_train, tmp_path):
    recommender = Recommender.load(run_train())
    with pytest.raises(InputError, match="ends in .onnx"):
        export(recommender, ExportSettings(run="out", output=str(tmp_path / "model.pt")), name="gru")
    recommender.inference.model.encoder = Untraceable()
    with pytest.raises(InputError, match="`model_type` odd cannot be exported"):
        export(recommender, ExportSettings(run="out", output=str(tmp_path / "model.onnx")), name="odd")
    assert not list(tmp_path.glob("*model*"))
