"""A file a subcommand: settings in, objects built, run; COMMANDS lists them without importing them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A subcommand: its module, which has SETTINGS (a dataclass) and run(values), and what it does in a line."""

    module: str
    summary: str
    uses_gpus: bool = False


COMMANDS: dict[str, Command] = {
    "simulate": Command("simulate", "write the raw click log of a made-up shop"),
    "preprocess": Command("preprocess", "turn raw logs into day files of sessions"),
    "train": Command("train", "train on day t, evaluate on day t+1, move on", uses_gpus=True),
    "update": Command(
        "update", "train a run on a new day of the raw log, and put the model in its place: a line for cron"
    ),
    "recommend": Command("recommend", "recommend with a finished run: raw events or item ids in, raw item ids out"),
    "serve": Command("serve", "answer requests over HTTP with a finished run"),
    "export": Command("export", "write a finished run as one ONNX file"),
    "report": Command("report", "put runs side by side: one page, with what their differences are worth"),
    "tune": Command("tune", "search settings of train: choose on the first half of the days, report on the second"),
    "benchmark": Command("benchmark", "measure speed and memory on this machine"),
}
