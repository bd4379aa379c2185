"""Writes a graph as ONNX, batch and length dynamic, and compares it with the model before it counts as done."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformers4recsys.errors import InputError
from transformers4recsys.serving.graph import RecommendationGraph, SessionGraph

EXCLUDED, ITEMS, SCORES, HIDDEN = "excluded_item_ids", "item_ids", "scores", "hidden"
# The largest difference of a score between the model and what was exported.
TOLERANCE = 1e-4
NEEDS_EXTRA = "ONNX needs the package {}: pip install 'transformers4recsys[onnx]'"


def export_onnx(graph: RecommendationGraph, examples: Mapping[str, Tensor], path: Path, *, name: str) -> None:
    """Write the graph to `path`; `examples` are its columns, (B, L) with B and L of two or more.

    Raise InputError that names the encoder where one of its operations has no counterpart in ONNX.
    """
    excluded_BX = torch.zeros(len(next(iter(examples.values()))), 2, dtype=torch.long)
    _write(graph, examples, {EXCLUDED: excluded_BX}, path, outputs=[ITEMS, SCORES], name=name)


def export_hidden(graph: SessionGraph, examples: Mapping[str, Tensor], path: Path, *, name: str) -> None:
    """Write the graph of the hidden states alone, as `export_onnx` writes that of the lists."""
    _write(graph, examples, {}, path, outputs=[HIDDEN], name=name)


def _write(
    graph: RecommendationGraph | SessionGraph,
    columns: Mapping[str, Tensor],
    others: Mapping[str, Tensor],
    path: Path,
    *,
    outputs: list[str],
    name: str,
) -> None:
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    shapes = [{0: batch, 1: torch.export.Dim(f"of_{other}", min=1)} for other in others]
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                graph.eval(),
                # A mapping that comes last is taken for the keyword arguments.
                (dict(columns), *others.values(), {}),
                dynamo=True,
                dynamic_shapes=({column: {0: batch, 1: length} for column in columns}, *shapes),
                input_names=[*columns, *others],
                output_names=outputs,
                verbose=False,
            )
            assert program is not None
            program.save(path)
    except ImportError as error:
        raise InputError(NEEDS_EXTRA.format(error.name or error)) from error
    except Exception as error:
        raise InputError(
            f"`model_type` {name} cannot be exported to ONNX: {first_cause(error)}; export a model with another "
            "encoder, such as gpt2, sasrec or gru, or serve this one with `backend` torch"
        ) from error


def compare(path: Path, graph: RecommendationGraph, batches: list[tuple[Mapping[str, Tensor], Tensor]]) -> float:
    """Run both on every batch of columns and excluded ids; give the largest difference of a score.

    Raise InputError where a score differs by more than TOLERANCE, or a list by more than the order of equal scores.
    """
    session = open_session(path)
    largest = 0.0
    for columns_BL, excluded_BX in batches:
        with torch.no_grad():
            item_ids_BK, scores_BK = (each.numpy() for each in graph(dict(columns_BL), excluded_BX))
        try:
            exported_ids_BK, exported_BK = run(session, columns_BL, excluded_BX)
        except Exception as error:
            raise InputError(
                f"{path}: ONNX Runtime cannot run this graph: {first_cause(error)}; this encoder cannot be exported"
            ) from error
        # Lists longer than the allowed items end in scores of -inf.
        is_finite_BK = np.isfinite(scores_BK)
        scores_BK, exported_BK = (np.where(is_finite_BK, each, 0.0) for each in (scores_BK, exported_BK))
        difference_BK = np.abs(exported_BK - scores_BK)
        same_BK = (item_ids_BK == exported_ids_BK) | ~is_finite_BK
        # Items whose scores are closer than the tolerance may change places.
        is_close_BK = np.zeros_like(same_BK)
        gaps_BK = np.abs(np.diff(scores_BK, axis=1, append=scores_BK[:, -1:])) < TOLERANCE
        is_close_BK |= gaps_BK
        is_close_BK[:, 1:] |= gaps_BK[:, :-1]
        largest = max(largest, float(np.nan_to_num(difference_BK, nan=np.inf).max(initial=0.0)))
        if largest > TOLERANCE or not (same_BK | is_close_BK).all():
            raise InputError(
                f"{path}: the graph does not give what the model gives (scores differ by up to {largest:.1e}); "
                "this encoder cannot be exported"
            )
    return largest


def open_session(path: Path, *, threads: int = 0) -> Any:
    """Open an exported graph with ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(NEEDS_EXTRA.format(error.name)) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session: Any, columns_BL: Mapping[str, Tensor], excluded_BX: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Give the item ids and scores of an opened graph, (B, k) both."""
    inputs = {name: column_BL.numpy() for name, column_BL in columns_BL.items()} | {EXCLUDED: excluded_BX.numpy()}
    known = {each.name for each in session.get_inputs()}
    return tuple(session.run([ITEMS, SCORES], {name: value for name, value in inputs.items() if name in known}))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own steps to itself: its errors are told in our words."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
