"""The tables at the end: metrics a day and their mean, baselines beside them, and where the files are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from transformers4recsys.model_types import BASELINE_NAMES
from transformers4recsys.outputs import Report
from transformers4recsys.reporting.advice import advice
from transformers4recsys.reporting.days import Numbers, average_over_days
from transformers4recsys.reporting.result_files import read_days
from transformers4recsys.reporting.sink import Sink
from transformers4recsys.terminal import show_result

# Number and heading of each column; all of them fit into 80 characters.
COLUMNS = {
    "eval_loss": "loss",
    "eval_ndcg@10": "ndcg\n@10",
    "eval_recall@10": "recall\n@10",
    "eval_ndcg@20": "ndcg\n@20",
    "eval_recall@20": "recall\n@20",
    "eval_mrr@20": "mrr\n@20",
    "eval_most_popular_ndcg@20": "popular\nndcg\n@20",
    "eval_most_popular_recall@20": "popular\nrecall\n@20",
}
# What the table of baselines compares.
COMPARED = ("ndcg@10", "recall@10", "ndcg@20", "recall@20", "mrr@20")

FILES = {
    "eval_results_avg_over_days.txt": "means over days",
    "eval_results_dates.txt": "evaluation, a block a day",
    "train_results_dates.txt": "the same measured on training files",
    "eval_train_results_dates.csv": "both, a row a day",
    "log.json": "DLLogger lines",
    "pred_logs": "predictions, a parquet file a day",
    "attention_weights": "attention weights, a file a step",
    "model.safetensors": "the model after the last day",
}


class ResultTable(Sink):
    """Shows the results of all days when the run ends."""

    def __init__(self, output_dir: Path):
        self._folder = output_dir
        self._days = read_days(output_dir)
        self._settings: Mapping[str, Any] = {}

    def start(self, settings: Mapping[str, object]) -> None:
        self._settings = settings

    def numbers(self, report: Report) -> None:
        self._days.record(report.day, report.split, report.numbers)

    def close(self) -> None:
        days = self._days.of_split("eval")
        show_result(summary(days, self._folder.resolve(), self._settings))


def summary(days: dict[str, Numbers], folder: Path, settings: Mapping[str, Any] = MappingProxyType({})) -> Group:
    """Lay out the table of evaluation days, where there are any, above the list of files."""
    parts = [results_table(days), *_notes(days, settings), ""] if days else []
    if names := baselines_of(days):
        parts += [baselines_table(days, names), ""]
    return Group(*parts, f"Files in [bold]{escape(str(folder))}[/bold]:", _files_table(folder))


def results_table(days: dict[str, Numbers]) -> Table:
    """Make a row a day and the mean; a column that no day has is left out."""
    names = [name for name in COLUMNS if any(name in numbers for numbers in days.values())]
    means = average_over_days(days.values())
    table = Table(
        title="Evaluation, day by day",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("day", no_wrap=True)
    for name in names:
        table.add_column(COLUMNS[name], justify="right", no_wrap=True)
    for day, numbers in days.items():
        table.add_row(day, *_cells(numbers, names))
    table.add_section()
    table.add_row(f"mean of {means['num_days']}", *_cells(means, names), style="bold")
    return table


def baselines_of(days: dict[str, Numbers]) -> list[str]:
    """Name the baselines beside the model, but for the most popular items, which stand in the columns of each day."""
    given = {name for numbers in days.values() for name in numbers}
    return [name for name in BASELINE_NAMES if f"eval_{name}_{COMPARED[0]}" in given]


def baselines_table(days: dict[str, Numbers], baselines: Iterable[str]) -> Table:
    """Make a row for the model and for each baseline: the means over days of the main metrics."""
    means = average_over_days(days.values())
    table = Table(title="Beside baselines, means over days", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("", no_wrap=True)
    for metric in COMPARED:
        table.add_column(metric, justify="right", no_wrap=True)
    rows = {"this model": "eval_", **{name: f"eval_{name}_" for name in ("most_popular", *baselines)}}
    for name, prefix in rows.items():
        table.add_row(name.replace("_", " "), *_cells(means, [f"{prefix}{metric}" for metric in COMPARED]))
    return table


def _notes(days: dict[str, Numbers], settings: Mapping[str, Any]) -> list[str]:
    notes = []
    if average_over_days(days.values())["num_days"] != len(days):
        notes.append("- : The day has no session of two or more items, and is not part of the mean.")
    if settings.get("exclude_seen_in_evaluation"):
        notes.append("Items that stand in a session already are not ranked (exclude_seen_in_evaluation).")
    if told := advice(days.values(), settings):
        notes.append(f"[bold]{escape(told)}[/bold]")
    return notes


def _cells(numbers: Numbers, names: Iterable[str]) -> list[str]:
    values = [numbers.get(name) for name in names]
    return ["-" if value is None else f"{value:.4f}" for value in values]


def _files_table(folder: Path) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, content in FILES.items():
        if (folder / name).exists():
            table.add_row(name, content)
    return table
