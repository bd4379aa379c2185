"""The HTTP application: routes, errors of one line, a bearer token, and the life of the model behind them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from transformers4recsys.errors import InputError
from transformers4recsys.serving import open_inference
from transformers4recsys.serving.answers import describe_validation, problem
from transformers4recsys.serving.batching import Batcher, TooBusy
from transformers4recsys.serving.bounds import BoundedBody, Bounds
from transformers4recsys.serving.model_source import ModelSource
from transformers4recsys.serving.monitoring import MeasuredApp, Monitoring
from transformers4recsys.serving.requests import RecommendAnswer, Recommendation, RecommendRequest
from transformers4recsys.serving.service import Service

log = logging.getLogger(__name__)
TOO_BUSY = "the server has more requests than it lets wait; try again in a moment"


def create_app(
    source: ModelSource[Service],
    *,
    name: str,
    bounds: Bounds | None = None,
    max_batch: int = 64,
    reload_seconds: float = 10.0,
    token: str | None = None,
    monitoring: Monitoring | None = None,
) -> FastAPI:
    """Make the application around a model; `name` is the model's in the Open Inference Protocol."""
    served = Served(
        source,
        name=name,
        bounds=bounds or Bounds(),
        max_batch=max_batch,
        reload_seconds=reload_seconds,
        monitoring=monitoring or Monitoring(),
    )
    app = FastAPI(title="Transformers4RecSys", lifespan=served.lifespan, summary=f"Recommendations of {name}")
    app.state.served = served
    app.add_middleware(BoundedBody, bounds=served.bounds)
    app.add_middleware(MeasuredApp, numbers=served.numbers)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(StarletteHTTPException, _on_http)
    app.add_exception_handler(InputError, _on_input)
    app.add_exception_handler(TooBusy, _on_busy)
    app.add_exception_handler(Exception, _on_error)
    app.include_router(_open_routes(served))
    app.include_router(_routes(served), dependencies=[Depends(_bearer(token))] if token else [])
    return app


class Served:
    """What the routes share: the model, the batches, the bounds and the numbers."""

    def __init__(
        self,
        source: ModelSource[Service],
        *,
        name: str,
        bounds: Bounds,
        max_batch: int,
        reload_seconds: float,
        monitoring: Monitoring,
    ):
        self.source, self.name, self.bounds = source, name, bounds
        self.reload_seconds, self.numbers = reload_seconds, monitoring
        self.numbers.set_model(source.current.day)
        # The model answers in one thread, and the next one is loaded in another.
        self._answering, self._loading = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._batcher: Batcher[RecommendRequest, RecommendAnswer] = Batcher(
            lambda requests: self.source.current.answer_all(requests),
            executor=self._answering,
            max_batch=max_batch,
            max_waiting=bounds.max_waiting,
            on_batch=self.numbers.batch.observe,
        )

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Watch the run folder as long as the application lives."""
        watching = asyncio.create_task(
            self.source.watch(self._loading, self.reload_seconds, on_change=self._on_new_model)
        )
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        self._answering.shutdown()
        self._loading.shutdown()

    def _on_new_model(self) -> None:
        self.numbers.reloads.inc()
        self.numbers.set_model(self.source.current.day)
        log.info("the model of %s answers now", self.source.current.day)

    async def answer(self, request: RecommendRequest) -> RecommendAnswer:
        """Check the bounds, wait for the answer, and count it."""
        if message := request.problem_with(self.bounds):
            raise HTTPException(422, message)
        if not (request.sessions or request.events):
            return RecommendAnswer(model=self.source.current.day, sessions=[])
        answer = await self._batcher.ask(request, size=len(request.sessions or request.events or []))
        self.numbers.sessions.inc(len(answer.sessions))
        return answer


def _open_routes(served: Served) -> APIRouter:
    """What answers without a token: the page, and whether the server lives."""
    router = APIRouter()
    page = files("transformers4recsys.serving").joinpath("page.html").read_text(encoding="utf-8")

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> str:
        return page

    @router.get("/v2/health/live", tags=["health"])
    async def live() -> dict[str, bool]:
        """Whether the process answers."""
        return {"live": True}

    @router.get("/v2/health/ready", tags=["health"])
    async def ready() -> dict[str, bool]:
        """Whether a model is loaded."""
        return {"ready": True}

    return router


def _routes(served: Served) -> APIRouter:
    router = APIRouter()

    # An answer is valid as it was made: it goes out without being checked again.
    @router.post("/recommend", tags=["recommend"], response_model=RecommendAnswer)
    async def recommend(request: RecommendRequest) -> Response:
        """Recommend the next items of each session."""
        answer = await served.answer(request)
        return Response(answer.model_dump_json(), media_type="application/json")

    @router.get("/items", tags=["recommend"])
    def find_items(
        text: str = Query("", max_length=1_000), limit: int = Query(20, ge=1, le=100)
    ) -> list[Recommendation]:
        """List items by a part of their raw id or title, the best matches first."""
        # A thread of its own: requests for recommendations do not wait while a large catalogue is searched.
        return served.source.current.find_items(text, limit)

    @router.get("/metrics", tags=["health"], response_class=Response)
    async def show_metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(served.numbers.page(), media_type="text/plain; version=0.0.4")

    @router.get("/v2", tags=["open inference protocol"])
    async def server_metadata() -> dict[str, Any]:
        """Name and version of the server."""
        return {"name": "transformers4recsys", "version": served.source.current.day, "extensions": []}

    @router.get("/v2/models/{name}", tags=["open inference protocol"])
    async def model_metadata(name: str) -> dict[str, Any]:
        """Inputs and outputs of the model."""
        _require_name(name, served.name)
        return open_inference.metadata(served.name, served.source.current.day)

    @router.get("/v2/models/{name}/ready", tags=["open inference protocol"])
    async def model_ready(name: str) -> dict[str, Any]:
        """Whether this model is loaded."""
        _require_name(name, served.name)
        return {"name": served.name, "ready": True}

    @router.post("/v2/models/{name}/infer", tags=["open inference protocol"])
    async def infer(name: str, request: open_inference.InferRequest) -> dict[str, Any]:
        """Recommend, with tensors for sessions and lists."""
        _require_name(name, served.name)
        try:
            wanted = open_inference.to_request(request)
        except ValidationError as error:
            first = error.errors()[0]
            raise HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return open_inference.from_answer(served.name, request.id, await served.answer(wanted))

    return router


def _require_name(given: str, name: str) -> None:
    if given != name:
        raise HTTPException(404, f"there is no such model here; this server has {name}")


def _bearer(token: str) -> Callable[[Request], Awaitable[None]]:
    expected = f"Bearer {token}".encode()

    async def check(request: Request) -> None:
        if not secrets.compare_digest(request.headers.get("authorization", "").encode(), expected):
            raise HTTPException(401, "give the token: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})

    return check


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(422, describe_validation(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


async def _on_input(request: Request, error: Exception) -> Response:
    return problem(422, str(error))


async def _on_busy(request: Request, error: Exception) -> Response:
    return problem(429, TOO_BUSY, {"Retry-After": "1"})


async def _on_error(request: Request, error: Exception) -> Response:
    return problem(500, "the server could not answer this request; its log says why")
