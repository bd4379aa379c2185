"""What the server accepts of one request, and how long anything may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transformers4recsys.serving.answers import problem
from transformers4recsys.settings import check, num_bytes, setting


@dataclass(frozen=True)
class Bounds:
    """Bounds of a request"""

    max_body: str = setting("1MB", "longest body of a request", is_bytes=True)
    body_seconds: float = setting(10.0, "time that a client has to send the body", at_least=0)
    max_sessions: int = setting(256, "sessions of a request", at_least=1)
    max_items: int = setting(1_000, "items of a session", at_least=1)
    max_k: int = setting(1_000, "length of a list", at_least=1)
    max_candidates: int = setting(100_000, "candidates, or excluded items, of a request", at_least=1)
    max_waiting: int = setting(1_024, "sessions that may wait for an answer; more are told to come back", at_least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def body_bytes(self) -> int:
        return num_bytes(self.max_body, "max_body")


class BodyTooLarge(Exception):
    """Raised to the reader of a body that is longer than allowed."""


class BoundedBody:
    """ASGI middleware that reads a body of bounded size in bounded time, and answers 413 or 408 otherwise.

    The body is read before the application sees the request: nothing behind it waits for a slow client.
    """

    def __init__(self, app: ASGIApp, *, bounds: Bounds):
        self.app, self.bounds = app, bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.bounds.body_seconds):
                body = await self._read(scope, receive)
        except TimeoutError:
            answer = problem(408, f"the body did not arrive within {self.bounds.body_seconds:g} seconds")
        except BodyTooLarge:
            answer = problem(
                413, f"the body is longer than {self.bounds.body_bytes} bytes; send fewer sessions at once"
            )
        else:
            await self.app(scope, _replayed(body, receive), send)
            return
        await answer(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.bounds.body_bytes:
            raise BodyTooLarge
        parts, size, has_more = [], 0, True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            part = message.get("body", b"")
            size += len(part)
            if size > self.bounds.body_bytes:
                raise BodyTooLarge
            parts.append(part)
            has_more = message.get("more_body", False)
        return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body in one message, then whatever the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
