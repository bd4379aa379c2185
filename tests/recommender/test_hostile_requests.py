"""Whatever a client sends, it gets a valid answer or one line with a status of 4xx."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from fastapi.testclient import TestClient  # noqa: E402

from transformers4recsys.serving.bounds import Bounds  # noqa: E402
from transformers4recsys.serving.server import ServeSettings, app_of  # noqa: E402

WRONG = (400, 413, 422)
INFER = "/v2/models/run/infer"
EVENT = {"visit": "a", "sku": "sku-1", "time": "2024-01-08T10:00:00"}
# A body, and the status that it may get.
BODIES = [
    (b"", WRONG),
    (b"{", WRONG),
    (b"\xff\xfe", WRONG),
    (b"[" * 50_000, WRONG),
    (b"null", WRONG),
    (b'{"sessions": [[NaN]]}', WRONG),
    (b'{"sessions": [[1e400]]}', WRONG),
    (b'{"sessions": [["sku-1"]], "k": 1e9}', WRONG),
    (b'{"sessions": [["sku-1"]], "k": 1000000000}', WRONG),
    (b'{"sessions": [["sku-1"]], "k": -1}', WRONG),
    (b'{"sessions": [["sku-1"]], "k": true}', WRONG),
    (b'{"sessions": [["sku-1"]], "k": ' + b"9" * 5_000 + b"}", WRONG),
    (b'{"sessions": [[' + b"9" * 400 + b"]]}", WRONG),
    (b'{"sessions": {"a": 1}}', WRONG),
    (b'{"sessions": [["\\ud800"]]}', WRONG),
    (b'{"sessions": [["\\u0000", "", "' + b"x" * 1_000 + b'"]]}', (200,)),
    (b'{"sessions": [["sku-1"]], "exclude": [["\\ud800"]]}', WRONG),
    (json.dumps({"sessions": [[f"sku-{number}" for number in range(100_000)]]}).encode(), WRONG),
    (json.dumps({"sessions": [["a"] * 1_001]}).encode(), WRONG),
    (json.dumps({"sessions": [["a"]], "candidates": ["b"] * 100_001}).encode(), WRONG),
    (json.dumps({"sessions": [[]] * 257}).encode(), WRONG),
    (json.dumps({"sessions": [["never", 7, -(2**63)], []], "k": 1_000}).encode(), (200,)),
    (json.dumps({"sessions": []}).encode(), (200,)),
    (json.dumps({"events": []}).encode(), (200,)),
    (json.dumps({"events": [{}]}).encode(), WRONG),
    (json.dumps({"events": [EVENT]}).encode(), (200,)),
    (json.dumps({"events": [EVENT, {"visit": 7, "sku": ["x"]}]}).encode(), WRONG),
    (json.dumps({"events": [EVENT, {**EVENT, "visit": 7}]}).encode(), WRONG),
    (json.dumps({"events": [{**EVENT, "time": "yesterday"}]}).encode(), (200, 422)),
    (json.dumps({"events": [{**EVENT, "price": "dear", "": 1, 'a"; drop': 2}]}).encode(), (200, 422)),
    (json.dumps({"events": [{**EVENT, "price": 2**70}]}).encode(), (200, 422)),
    (b'{"events": [{"visit": "a", "sku": "\\ud800"}]}', WRONG),
    (json.dumps({"events": [EVENT], "exclude": [["sku-1"]]}).encode(), WRONG),
]
TENSOR = {"name": "items", "shape": [1, 1], "datatype": "BYTES", "data": ["sku-1"]}
INFERS = [
    ({"inputs": [TENSOR]}, (200,)),
    ({"inputs": []}, WRONG),
    ({"inputs": [{**TENSOR, "name": "x"}]}, WRONG),
    ({"inputs": [{**TENSOR, "shape": [10**9, 10**9]}]}, WRONG),
    ({"inputs": [{**TENSOR, "shape": [-1, -1]}]}, WRONG),
    ({"inputs": [{**TENSOR, "shape": []}]}, WRONG),
    ({"inputs": [{**TENSOR, "data": [["sku-1"], 7]}]}, WRONG),
    ({"inputs": [{**TENSOR, "data": [{"a": 1}]}]}, WRONG),
    ({"inputs": [TENSOR], "parameters": {"k": 10**9}}, WRONG),
    ({"inputs": [TENSOR], "parameters": {"k": None}}, WRONG),
]


@pytest.fixture
def client(train_on_shop):
    run = str(train_on_shop(model_type="gru"))
    with TestClient(app_of(ServeSettings(run=run, bounds=Bounds(max_body="1MB"))), raise_server_exceptions=False) as it:
        yield it


def check(answer, expected, what):
    assert answer.status_code in expected, (what, answer.text)
    if answer.status_code != 200:
        [(name, line)] = answer.json().items()
        assert name == "error" and 0 < len(line) <= 300 and "\n" not in line and "Traceback" not in line


def test_hostile_requests(client):
    as_json = {"Content-Type": "application/json"}
    for body, expected in BODIES:
        check(client.post("/recommend", content=body, headers=as_json), expected, body[:90])
    for body, expected in INFERS:
        check(client.post(INFER, json=body), expected, body)
    check(client.post("/recommend", content=b"a=b", headers={"Content-Type": "text/plain"}), WRONG, "no JSON")
    check(client.get("/items", params={"text": "x" * 1_001}), WRONG, "long text")
    check(client.get("/items", params={"text": "\0%_", "limit": "1e9"}), WRONG, "limit")
    check(client.get("/v2/models/%00%ff"), (404,), "name")
    check(client.get("/../../etc/passwd"), (404,), "path")
    assert client.post("/recommend", json={"sessions": [["sku-1"]]}).status_code == 200


@pytest.mark.slow
def test_the_description_of_the_server_holds(client):
    """Requests that schemathesis makes out of the OpenAPI description, valid and not."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, given, settings
    from hypothesis.errors import Unsatisfiable

    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    names = []
    for found in schema.get_all_operations():
        operation = found.ok()
        names.append(operation.label)
        for mode in schemathesis.GenerationMode:

            @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                answer = case.call()
                assert answer.status_code < 500 and "Traceback" not in answer.text

            # An operation without parameters cannot be asked wrongly.
            with suppress(Unsatisfiable):
                ask()
    assert {"POST /recommend", "POST /v2/models/{name}/infer"} <= set(names)
