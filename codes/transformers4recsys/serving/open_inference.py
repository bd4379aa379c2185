"""The Open Inference Protocol, version 2: the same recommendations for servers and clients that speak it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from transformers4recsys.serving.requests import RecommendAnswer, RecommendRequest


class InputTensor(BaseModel):
    """Sessions as rows of a (sessions, length) tensor, padded on the right with "" (BYTES) or null."""

    model_config = ConfigDict(extra="ignore")

    name: StrictStr
    shape: list[StrictInt]
    datatype: Literal["BYTES", "INT64"]
    data: list[Any]


class InferRequest(BaseModel):
    """One input called `items`; `parameters` may hold k and exclude_seen."""

    model_config = ConfigDict(extra="ignore")

    id: StrictStr | None = None
    inputs: list[InputTensor] = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)


def metadata(name: str, day: str) -> dict[str, Any]:
    """Describe inputs and outputs of the model."""
    return {
        "name": name,
        "versions": [day],
        "platform": "transformers4recsys",
        "inputs": [{"name": "items", "datatype": "BYTES", "shape": [-1, -1]}],
        "outputs": [
            {"name": "items", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
        ],
    }


def to_request(infer: InferRequest) -> RecommendRequest:
    """Read the tensor of items; raise ValueError where it is not what the metadata describes."""
    tensor = next((each for each in infer.inputs if each.name == "items"), None)
    if tensor is None:
        raise ValueError("inputs: one of them must have the name items")
    is_row = {isinstance(each, list) for each in tensor.data}
    if len(is_row) > 1:
        raise ValueError("inputs: the data of items mix rows and values; give either a list of rows, or all values")
    rows = tensor.data if True in is_row else _rows(tensor)
    sessions = [[value for value in row if value not in ("", None)] for row in rows]
    unknown = infer.parameters.keys() - {"k", "exclude_seen"}
    if unknown:
        raise ValueError(f"parameters: {sorted(unknown)[0]} is unknown; allowed are k and exclude_seen")
    return RecommendRequest.model_validate({"sessions": sessions, **infer.parameters})


def _rows(tensor: InputTensor) -> list[list[Any]]:
    if len(tensor.shape) != 2 or min(tensor.shape) < 0 or tensor.shape[0] * tensor.shape[1] != len(tensor.data):
        raise ValueError(
            f"inputs: items has the shape {tensor.shape} and {len(tensor.data)} values; give [sessions, length] and "
            "as many values"
        )
    num_rows, width = tensor.shape
    return [tensor.data[row * width : (row + 1) * width] for row in range(num_rows)]


def from_answer(name: str, infer_id: str | None, answer: RecommendAnswer) -> dict[str, Any]:
    """Lay the lists out as two tensors; a shorter list ends in "" and a score of 0."""
    width = max((len(each.items) for each in answer.sessions), default=0)
    items, scores = [], []
    for each in answer.sessions:
        missing = width - len(each.items)
        items += [str(one.item) for one in each.items] + [""] * missing
        scores += [one.score for one in each.items] + [0.0] * missing
    shape = [len(answer.sessions), width]
    return {
        "model_name": name,
        "model_version": answer.model,
        **({"id": infer_id} if infer_id else {}),
        "outputs": [
            {"name": "items", "datatype": "BYTES", "shape": shape, "data": items},
            {"name": "scores", "datatype": "FP32", "shape": shape, "data": scores},
        ],
    }
