"""Numbers for Prometheus: requests by outcome, their time, batches, unknown items, and the model that answers."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SESSIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Monitoring:
    """Its own registry, so that several servers in one process do not add up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "transformers4recsys_requests", "Requests by route and status", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "transformers4recsys_request_seconds",
            "Time of a request",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "transformers4recsys_batch_sessions", "Sessions answered together", buckets=SESSIONS, registry=self.registry
        )
        self.sessions = Counter("transformers4recsys_sessions", "Sessions answered", registry=self.registry)
        self.unknown = Counter(
            "transformers4recsys_unknown_items", "Given items that the model does not know", registry=self.registry
        )
        self.reloads = Counter("transformers4recsys_reloads", "Models taken over", registry=self.registry)
        self.model = Gauge(
            "transformers4recsys_model",
            "1 for the model that answers, by its last day",
            ["day"],
            registry=self.registry,
        )

    def set_model(self, day: str) -> None:
        self.model.clear()
        self.model.labels(day=day).set(1)

    def page(self) -> bytes:
        """Give all numbers in Prometheus' text format."""
        return generate_latest(self.registry)


class MeasuredApp:
    """ASGI middleware that counts each request by the route that it matched: no name out of one becomes a label."""

    def __init__(self, app: ASGIApp, *, numbers: Monitoring):
        self.app, self.numbers = app, numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_look)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self.numbers.requests.labels(route=route, status=str(status)).inc()
            self.numbers.seconds.labels(route=route).observe(time.perf_counter() - start)
