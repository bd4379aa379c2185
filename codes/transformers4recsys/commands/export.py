"""Writes a trained run as one ONNX file, and says how close it is to the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from transformers4recsys.recommender import Recommender
from transformers4recsys.serving.export import ExportSettings, export
from transformers4recsys.settings import from_values

log = logging.getLogger(__name__)

SETTINGS = ExportSettings


def run(values: Mapping[str, Any]) -> None:
    """Write a trained run as one ONNX file, and say how close it is to the model."""
    settings = from_values(ExportSettings, values)
    recommender = Recommender.load(settings.run or "", model=settings.model, device="cpu")
    difference = export(recommender, settings, name=recommender.encoder_name)
    log.info("%s gives the lists of the model; scores differ by up to %.1e", settings.output, difference)
