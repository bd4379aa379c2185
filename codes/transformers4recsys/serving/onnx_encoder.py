"""The encoder on ONNX Runtime in place of PyTorch; lists are made as ever, so filters work alike."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from transformers4recsys.batch import Batch, with_past
from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender
from transformers4recsys.recommender.example_sessions import sessions_by_popularity
from transformers4recsys.serving.export import inputs_of
from transformers4recsys.serving.graph import SessionGraph
from transformers4recsys.serving.onnx_export import HIDDEN, TOLERANCE, export_hidden, first_cause, open_session

NUM_SESSIONS = 64


def use_onnx(recommender: Recommender, *, threads: int = 0) -> float:
    """Let a recommender on the CPU encode sessions by ONNX Runtime from now on; give the largest difference of a score.

    Raise InputError where the encoder cannot be exported, or where the scores differ by more than TOLERANCE.
    """
    inference, sessions = recommender.inference, sessions_by_popularity(recommender, NUM_SESSIONS)
    # A graph that holds for one size alone shows at another one.
    trials = [sessions, sessions[:1]]
    expected = [recommender.scores(trial) for trial in trials]
    inference.encode_batch = OnnxEncoder(recommender, inputs_of(recommender, sessions), threads=threads)
    try:
        found = [recommender.scores(trial) for trial in trials]
    except Exception as error:
        raise InputError(
            f"`model_type` {recommender.encoder_name} cannot be exported to ONNX: {first_cause(error)}; serve it with "
            "`backend` torch"
        ) from error
    # Padding scores -inf.
    pairs = zip(found, expected, strict=True)
    difference = max(float(np.abs(one_SV[:, 1:] - other_SV[:, 1:]).max()) for one_SV, other_SV in pairs)
    if not difference <= TOLERANCE:
        raise InputError(
            f"`model_type` {recommender.encoder_name}: ONNX Runtime does not give what the model gives (scores differ "
            f"by up to {difference:.1e}); serve it with `backend` torch"
        )
    return difference


class OnnxEncoder:
    """From a batch, whose current sessions end in a placeholder, to the hidden states behind them, (B, E)."""

    def __init__(self, recommender: Recommender, examples: dict[str, Tensor], *, threads: int):
        self._schema = recommender.inference.schema
        model = recommender.inference.model
        if model.has_gradients is False:
            raise InputError(
                f"{recommender.encoder_name} is a baseline, which has no graph; serve with `backend` torch"
            )
        with TemporaryDirectory(prefix="transformers4recsys-") as folder:
            path = Path(folder) / "encoder.onnx"
            graph = SessionGraph(model)
            export_hidden(graph, examples, path, name=recommender.encoder_name)
            self._session = open_session(path, threads=threads)
        self._read = {each.name for each in self._session.get_inputs()}

    def __call__(self, batch: Batch) -> Tensor:
        if self._schema.past:
            batch = with_past(batch, self._schema)
        item = batch.columns[self._schema.item_id.name]
        # The graph puts a mask there itself, where the model has one.
        length = item.max_length - 1
        is_placeholder_BL = torch.arange(length) == item.lengths[:, None] - 1
        inputs = {}
        for name in self._read:
            column_BL = batch.padded(name, item.max_length)[:, :length]
            inputs[name] = column_BL.masked_fill(is_placeholder_BL, 0).numpy()
        return torch.from_numpy(self._session.run([HIDDEN], inputs)[0])
