import asyncio
import json

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from transformers4recsys.serving.bounds import BoundedBody, Bounds  # noqa: E402


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def ask(*parts, bounds, headers=(), method="POST", never_ends=False):
    """Send a body part by part; give status and body of the answer."""
    waiting, sent = list(parts), []

    async def receive():
        if not waiting:
            await asyncio.Event().wait()
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting) or never_ends}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "headers": list(headers)}
    asyncio.run(BoundedBody(echo, bounds=bounds)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def test_a_body_in_parts_arrives_whole():
    assert ask(b"a" * 600, b"c" * 400, bounds=Bounds(max_body="1KB")) == (200, b"a" * 600 + b"c" * 400)


def test_a_body_that_grows_too_long_is_refused():
    status, body = ask(b"a" * 600, b"c" * 401, bounds=Bounds(max_body="1KB"))

    assert status == 413
    assert "longer than 1000 bytes" in json.loads(body)["error"]


def test_a_body_that_says_it_is_too_long_is_not_read():
    assert ask(bounds=Bounds(max_body="1KB"), headers=[(b"content-length", b"1001")])[0] == 413


def test_a_client_that_sends_nothing_more_is_told_so():
    status, body = ask(b"a", bounds=Bounds(body_seconds=0), never_ends=True)

    assert status == 408
    assert "did not arrive within 0 seconds" in json.loads(body)["error"]


def test_a_request_without_a_body_passes():
    assert ask(b"", bounds=Bounds(body_seconds=0), method="GET")[0] == 200
