import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from transformers4recsys.serving.open_inference import InferRequest, from_answer, to_request  # noqa: E402
from transformers4recsys.serving.requests import RecommendAnswer, Recommendation, SessionAnswer  # noqa: E402


def infer(shape, data, **parameters):
    tensor = {"name": "items", "shape": shape, "datatype": "BYTES", "data": data}
    return to_request(InferRequest.model_validate({"inputs": [tensor], "parameters": parameters}))


def test_rows_of_the_tensor_are_sessions_without_their_padding():
    request = infer([2, 2], ["a", "", "b", "c"], k=3, exclude_seen=True)

    assert (request.sessions, request.k, request.exclude_seen) == ([["a"], ["b", "c"]], 3, True)
    assert infer([2, 2], [["a", None], ["b", "c"]]).sessions == [["a"], ["b", "c"]]


@pytest.mark.parametrize(
    ("shape", "data", "parameters", "words"),
    [
        ([2, 2], ["a"], {}, "the shape"),
        ([-1, -1], ["a"], {}, "the shape"),
        ([1], ["a"], {}, "the shape"),
        ([1, 1], ["a"], {"colour": 1}, "colour is unknown"),
        ([1, 1], [1.5], {}, "sessions"),
    ],
)
def test_a_tensor_that_is_not_as_described_is_refused(shape, data, parameters, words):
    with pytest.raises(ValueError, match=words):
        infer(shape, data, **parameters)


def test_shorter_lists_are_filled_up():
    lists = [[("a", 2.0), ("b", 1.0)], [("c", 3.0)]]
    sessions = [SessionAnswer(items=[Recommendation(item=item, score=score) for item, score in each]) for each in lists]
    items, scores = from_answer("shop", None, RecommendAnswer(model="monday", sessions=sessions))["outputs"]

    assert (items["shape"], items["data"]) == ([2, 2], ["a", "b", "c", ""])
    assert scores["data"] == [2.0, 1.0, 3.0, 0.0]
