import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from transformers4recsys.serving.bounds import Bounds  # noqa: E402
from transformers4recsys.serving.requests import RecommendRequest  # noqa: E402

BOUNDS = Bounds(max_sessions=2, max_items=3, max_k=5, max_candidates=4)


def request(**fields):
    return RecommendRequest.model_validate({"sessions": [["a"], ["b", "c"]], "k": 5, **fields})


def test_a_request_within_the_bounds_has_no_problem():
    assert request(candidates=["a"] * 4, exclude=[["a"], ["b", "c"]]).problem_with(BOUNDS) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sessions": [["a"]] * 3}, "sessions: 3 is more than the 2"),
        ({"sessions": [["a"] * 4]}, "items of a session: 4 is more than the 3"),
        ({"k": 6}, "k: 6 is more than the 5"),
        ({"candidates": ["a"] * 5}, "candidates: 5 is more than the 4"),
        ({"exclude": [["a"] * 3, ["b"] * 2]}, "exclude: 5 is more than the 4"),
        ({"exclude": [["a"]]}, "1 lists for 2 sessions"),
    ],
)
def test_the_bound_that_is_exceeded_is_named(fields, words):
    assert words in request(**fields).problem_with(BOUNDS)


def test_exclusions_hold_for_all_sessions_or_for_their_own():
    assert request(exclude=["x"]).excluded() == [["x"], ["x"]]
    assert request(exclude=[["x"], []]).excluded() == [["x"], []]
    assert request(exclude=["x"], exclude_seen=True).excluded() == [["x", "a"], ["x", "b", "c"]]
    assert request().excluded() == [[], []]
