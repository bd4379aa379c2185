"""Hands each day's numbers and predictions on to every output there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transformers4recsys import distributed
from transformers4recsys.outputs import Predictions, Report
from transformers4recsys.reporting.console import ResultTable
from transformers4recsys.reporting.dllogger_json import DLLoggerJson
from transformers4recsys.reporting.predictions import PredictionFiles
from transformers4recsys.reporting.result_files import ResultFiles
from transformers4recsys.reporting.sink import Sink

RESULT_TABLE = "result_table"
# Each is made with the output folder; the table comes last, so that the files it names are there.
SINKS: Mapping[str, Callable[[Path], Sink]] = {
    "result_files": ResultFiles,
    "dllogger_json": DLLoggerJson,
    "predictions": PredictionFiles,
    RESULT_TABLE: ResultTable,
}


class Reporter:
    """Every process has one and calls it alike; `close()` is for runs that went well.

    Each day: its `predictions`, then its `numbers`, those of `eval` last.
    """

    def __init__(self, sinks: Sequence[Sink], settings: Mapping[str, object]):
        self._sinks = [sink for sink in sinks if sink.is_on_every_rank or distributed.is_main()]
        for sink in self._sinks:
            sink.start(settings)

    def numbers(self, report: Report) -> None:
        for sink in self._sinks:
            sink.numbers(report)

    def predictions(self, predictions: Predictions, day: str) -> None:
        for sink in self._sinks:
            sink.predictions(predictions, day)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()
