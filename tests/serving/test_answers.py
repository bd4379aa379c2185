import json

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from transformers4recsys.serving.answers import LONGEST_MESSAGE, problem  # noqa: E402


def test_a_problem_is_one_bounded_line():
    answer = problem(422, "first\n  second " + "x" * 1_000)
    line = json.loads(bytes(answer.body))["error"]

    assert answer.status_code == 422
    assert line.startswith("first second xxx")
    assert len(line) == LONGEST_MESSAGE
