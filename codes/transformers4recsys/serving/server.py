"""The server as a process: settings, the model and its folder, and the end after the requests in flight."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI

from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender
from transformers4recsys.recommender.indexes import INDEXES
from transformers4recsys.run_files import MANIFEST
from transformers4recsys.serving.app import create_app
from transformers4recsys.serving.bounds import Bounds
from transformers4recsys.serving.model_source import ModelSource
from transformers4recsys.serving.monitoring import Monitoring
from transformers4recsys.serving.onnx_encoder import use_onnx
from transformers4recsys.serving.service import Service
from transformers4recsys.settings import check, part, required, setting

log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _on_torch(run: Path, settings: ServeSettings) -> Recommender:
    return Recommender.load(run, model=settings.model, index=settings.index)


def _on_onnx(run: Path, settings: ServeSettings) -> Recommender:
    recommender = Recommender.load(run, model=settings.model, device="cpu", index=settings.index)
    use_onnx(recommender, threads=settings.threads)
    return recommender


# From a run folder to what answers.
BACKENDS = {"torch": _on_torch, "onnx": _on_onnx}


@dataclass(frozen=True)
class ServeSettings:
    """Serve: a run folder behind HTTP"""

    run: str | None = setting(None, "output folder of a run; a new day in it is taken over without a pause")
    model: str | None = setting(None, "day of an earlier model that update has kept; the newest without it")
    host: str = setting("127.0.0.1", "address to listen at; 0.0.0.0 is open to other machines")
    port: int = setting(8080, "port to listen at", at_least=0, at_most=65_535)
    model_name: str | None = setting(None, "name of the model in the Open Inference Protocol; the folder's without it")
    reload_seconds: float = setting(10.0, "how often the run folder is looked at for a new day", above=0)
    token_file: str | None = setting(None, "file with a token that requests must bring: Authorization: Bearer TOKEN")
    max_batch: int = setting(64, "sessions that go through the model together", at_least=1)
    threads: int = setting(0, "threads of the model; 0 for one a core", at_least=0)
    backend: str = setting("torch", "what the encoder runs on; onnx on a CPU alone", choices=lambda: BACKENDS)
    index: str = setting("exact", "how the best items are found; approximate needs usearch", choices=lambda: INDEXES)
    bounds: Bounds = part(Bounds)

    def __post_init__(self) -> None:
        required(self, "run")
        check(self)


def serve(settings: ServeSettings) -> None:
    """Answer requests until SIGTERM or SIGINT; the requests in flight are answered first."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    app = app_of(settings)
    if settings.host not in LOOPBACK and not settings.token_file:
        log.warning("`host` %s is open to other machines, and no `token_file` protects it", settings.host)
    # uvicorn's own log has a line a request; the numbers are at /metrics.
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


def app_of(settings: ServeSettings) -> FastAPI:
    """Load the model and make the application."""
    run = Path(settings.run or "").expanduser()
    token, monitoring = _token(settings.token_file), Monitoring()

    def load() -> Service:
        service = Service(BACKENDS[settings.backend](run, settings), on_unknown=monitoring.unknown.inc)
        # The first answer is slower than the others: nobody should wait for it.
        service.warm_up()
        return service

    source = ModelSource(run / MANIFEST, load)
    log.info("the model of %s answers at http://%s:%d", source.current.day, settings.host, settings.port)
    return create_app(
        source,
        name=settings.model_name or run.resolve().name,
        bounds=settings.bounds,
        max_batch=settings.max_batch,
        reload_seconds=settings.reload_seconds,
        token=token,
        monitoring=monitoring,
    )


def _token(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        token = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`token_file` {path} cannot be read: {error}") from error
    if not token.isprintable() or not token.isascii() or not token or " " in token:
        raise InputError(f"`token_file` {path} must hold one token: a line of printable ASCII without spaces")
    return token
