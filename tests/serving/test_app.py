import asyncio
import json

import pyarrow as pa
import pytest

fastapi = pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("httpx", reason="the client of the tests is not installed")
from fastapi.testclient import TestClient  # noqa: E402

from transformers4recsys.serving.app import create_app  # noqa: E402
from transformers4recsys.serving.bounds import Bounds  # noqa: E402
from transformers4recsys.serving.model_source import ModelSource  # noqa: E402
from transformers4recsys.serving.service import Service  # noqa: E402


class NextLetter:
    """Recommends the letters behind the last one of a session: b, c, ... behind a."""

    last_day = "2024-01-02"
    item_table = pa.table({"raw": list("abcdefgh"), "title": [f"The {letter}" for letter in "ABCDEFGH"]})

    def __init__(self):
        self.calls = []

    def recommend(self, sessions, k=10, *, candidates=None, exclude=None, fallback="none", exclude_seen=False):
        if isinstance(sessions, pa.Table):
            sessions = [sessions.column("item").to_pylist()]
        self.calls.append(len(sessions))
        rows = []
        for number, session in enumerate(sessions):
            known = [item for item in session if item in "abcdefgh"]
            first = "abcdefgh".index(known[-1]) + 1 if known else 0
            letters = [each for each in "abcdefgh"[first:] if each not in (exclude[number] if exclude else ())]
            letters = [each for each in letters if candidates is None or each in candidates][:k]
            rows += [
                {"session": number, "rank": rank, "item": each, "score": 1.0 / rank, "is_fallback": not known}
                for rank, each in enumerate(letters, start=1)
            ]
        return pa.Table.from_pylist(rows, schema=SCHEMA)


SCHEMA = pa.schema(
    [("session", pa.int64()), ("rank", pa.int64()), ("item", pa.string()), ("score", pa.float64())]
    + [("is_fallback", pa.bool_())]
)


@pytest.fixture
def model():
    return NextLetter()


def client_of(model, tmp_path, **settings):
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    app = create_app(ModelSource(manifest, lambda: Service(model)), name="shop", **settings)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(model, tmp_path):
    with client_of(model, tmp_path) as client:
        yield client


def items_of(answer):
    return [[each["item"] for each in session["items"]] for session in answer.json()["sessions"]]


def test_each_session_gets_its_list_in_order(client):
    answer = client.post("/recommend", json={"sessions": [["a"], ["x", "e"]], "k": 2})

    assert answer.status_code == 200
    assert items_of(answer) == [["b", "c"], ["f", "g"]]
    assert answer.json()["model"] == "2024-01-02"
    assert answer.json()["sessions"][0]["items"][0]["title"] == "The B"


def test_a_session_without_a_row_has_an_empty_list(client):
    assert items_of(client.post("/recommend", json={"sessions": [["h"], ["a"]], "k": 1})) == [[], ["b"]]


def test_a_session_without_a_known_item_is_marked(client):
    session = client.post("/recommend", json={"sessions": [["nothing"]], "k": 1}).json()["sessions"][0]

    assert session["source"] == "fallback"


def test_seen_and_excluded_items_and_candidates(client):
    ask = {"sessions": [["c", "a"], ["d"]], "k": 3, "exclude_seen": True, "exclude": ["f"]}

    assert items_of(client.post("/recommend", json=ask)) == [["b", "d", "e"], ["e", "g", "h"]]
    by_session = {"sessions": [["a"], ["a"]], "k": 1, "exclude": [["b"], []]}
    assert items_of(client.post("/recommend", json=by_session)) == [["c"], ["b"]]
    assert items_of(client.post("/recommend", json={"sessions": [["a"]], "candidates": ["h", "c"]})) == [["c", "h"]]


def test_raw_events_are_handed_on_as_a_table(client):
    assert items_of(client.post("/recommend", json={"events": [{"item": "a"}, {"item": "b"}], "k": 1})) == [["c"]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"sessions": [["a"]], "k": 0}, "k"),
        ({"sessions": [["a"]], "k": 10**9}, "k: 1000000000"),
        ({"sessions": [["a"]], "k": "3"}, "k"),
        ({"sessions": [[1.5]]}, "sessions.0.0"),
        ({"sessions": [["a"] * 1001]}, "items of a session"),
        ({"sessions": [["a"]] * 257}, "sessions: 257"),
        ({"sessions": "a"}, "sessions"),
        ({}, "either sessions or events"),
        ({"sessions": [["a"]], "events": []}, "either sessions or events"),
        ({"sessions": [["a"]], "colour": 1}, "colour"),
        ({"sessions": [["a"]], "exclude": [["b"], ["c"]]}, "2 lists for 1 sessions"),
    ],
)
def test_a_wrong_request_gets_one_line(client, body, words):
    answer = client.post("/recommend", json=body)

    assert answer.status_code == 422
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_bad_json_an_unknown_path_and_a_wrong_method_get_one_line(client):
    as_json = {"Content-Type": "application/json"}
    answer = client.post("/recommend", content=b"{", headers=as_json)
    assert answer.json()["error"].startswith("the body is not valid JSON")
    assert client.post("/recommend", content=b'{"sessions": [["a"]], "k": NaN}', headers=as_json).status_code == 422
    assert client.get("/nowhere").json() == {"error": "Not Found"}
    assert client.get("/recommend").status_code == 405


def test_a_body_that_is_too_long_is_refused_before_it_is_read(tmp_path, model):
    with client_of(model, tmp_path, bounds=Bounds(max_body="1KB")) as client:
        answer = client.post("/recommend", json={"sessions": [["a" * 1_000]]})

    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["error"]
    assert not model.calls


def test_an_error_of_the_model_is_no_stack(tmp_path, model, monkeypatch):
    def fails(*args, **settings):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(model, "recommend", fails)
    with client_of(model, tmp_path) as client:
        answer = client.post("/recommend", json={"sessions": [["a"]]})

    assert answer.status_code == 500
    assert answer.json() == {"error": "the server could not answer this request; its log says why"}


def test_the_token_is_asked_for_everywhere_but_the_page_and_health(tmp_path, model):
    with client_of(model, tmp_path, token="key") as client:
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/").status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.post("/recommend", json={"sessions": [["a"]]}).status_code == 401
        allowed = {"Authorization": "Bearer key"}
        assert client.post("/recommend", json={"sessions": [["a"]]}, headers=allowed).status_code == 200


def test_the_open_inference_protocol(client):
    assert client.get("/v2").json()["name"] == "transformers4recsys"
    assert client.get("/v2/models/shop").json()["inputs"][0]["name"] == "items"
    assert client.get("/v2/models/other").status_code == 404
    ask = {
        "id": "7",
        "inputs": [{"name": "items", "shape": [2, 2], "datatype": "BYTES", "data": ["a", "", "b", "g"]}],
        "parameters": {"k": 2},
    }
    answer = client.post("/v2/models/shop/infer", json=ask).json()

    assert answer["id"] == "7"
    assert answer["outputs"][0]["data"] == ["b", "c", "h", ""]
    assert answer["outputs"][1]["data"] == [1.0, 0.5, 1.0, 0.0]
    assert answer["outputs"][0]["shape"] == [2, 2]
    ask["inputs"][0]["shape"] = [3, 2]
    assert "shape" in client.post("/v2/models/shop/infer", json=ask).json()["error"]


def test_metrics_count_requests_by_route(client):
    client.post("/recommend", json={"sessions": [["a"], ["b"]]})
    client.get("/no/such/path/of-a-client")
    page = client.get("/metrics").text

    assert 'transformers4recsys_requests_total{route="/recommend",status="200"} 1.0' in page
    assert "transformers4recsys_sessions_total 2.0" in page
    assert "of-a-client" not in page


def test_items_are_found_by_id_and_title(client):
    assert [each["item"] for each in client.get("/items", params={"text": "the b"}).json()] == ["b"]
    assert [each["item"] for each in client.get("/items", params={"text": "h", "limit": 1}).json()] == ["h"]


def test_requests_that_wait_are_answered_together(model, tmp_path):
    import httpx

    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    app = create_app(ModelSource(manifest, lambda: Service(model)), name="shop")

    async def ask_all():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            asks = [client.post("/recommend", json={"sessions": [[letter]], "k": 1}) for letter in "abcdef"]
            return await asyncio.gather(*asks)

    answers = asyncio.run(ask_all())

    assert [items_of(answer)[0] for answer in answers] == [[letter] for letter in "bcdefg"]
    assert sum(model.calls) == 6
    assert len(model.calls) < 6


def test_the_page_needs_nothing_from_outside(client):
    page = client.get("/").text

    assert "http://" not in page and "https://" not in page
    assert json.dumps(client.get("/openapi.json").json())
