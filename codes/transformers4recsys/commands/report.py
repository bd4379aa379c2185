"""Puts runs side by side: one page, and its numbers as JSON and CSV."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.table import Table

from transformers4recsys.comparison.attention import attended_sessions
from transformers4recsys.comparison.contents import Comparison, compare
from transformers4recsys.comparison.files import write_differences, write_json, write_values
from transformers4recsys.comparison.page import page
from transformers4recsys.comparison.runs import Run, names_of
from transformers4recsys.errors import InputError
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.settings import check, choose, from_values, setting
from transformers4recsys.terminal import show_result

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportSettings:
    """Report: runs side by side, as one page without outside resources"""

    leading: ClassVar[str] = "runs"

    runs: tuple[str, ...] = setting((), "output folders of train; the others are compared with the first")
    output: str = setting("report.html", "the page; .json, .csv and _differences.csv are written beside it")
    metrics: tuple[str, ...] = setting(("ndcg@20", "recall@20"), "metrics to compare, with their cut-offs")
    seed: int = setting(0, "of the resampling", at_least=0)

    def __post_init__(self) -> None:
        check(self)
        if not self.runs:
            raise InputError("report which runs? Give the output folders of one or more: report RUN [RUN ...]")
        if not self.output.endswith(".html"):
            raise InputError(f"`output` {self.output}: give a name that ends with .html")
        if not self.metrics:
            raise InputError("`metrics`: give one or more, such as ndcg@20")


SETTINGS = ReportSettings


def run(values: Mapping[str, Any]) -> None:
    """Read the runs, compare them, write the page and the numbers."""
    settings = from_values(ReportSettings, values)
    folders = [Path(path).expanduser() for path in settings.runs]
    output = Path(settings.output).expanduser()
    if not output.parent.is_dir():
        raise InputError(f"`output` {output}: the folder {output.parent} is not there")
    runs = [_read(name, folder) for name, folder in zip(names_of(folders), folders, strict=True)]
    for each in runs:
        for metric in settings.metrics:
            choose(dict.fromkeys(each.numbers), metric, "metrics")
    if not set.intersection(*(set(each.days) for each in runs)):
        raise InputError(f"{', '.join(each.name for each in runs)} have no evaluation day in common")
    comparison = compare(runs, settings.metrics, seed=settings.seed)
    first = runs[0]
    attention = attended_sessions(first.folder, first.items and first.items.raw_ids) if len(runs) == 1 else []
    write_json(comparison, output.with_suffix(".json"))
    write_values(comparison, output.with_suffix(".csv"))
    write_differences(comparison, output.with_name(f"{output.stem}_differences.csv"))
    output.write_text(page(comparison, attention), encoding="utf-8")
    for doubt in comparison.doubts:
        log.warning("%s", doubt)
    show_result(_table(comparison))
    log.info("the page is %s", output)


def _table(comparison: Comparison) -> Table:
    """Show each run's means, and how far it is from the first one."""
    table = Table("run", "metric", "mean", "difference", "95 %", "p, Holm", box=None)
    by_run = {(each.run, each.metric): each for each in comparison.differences}
    for name, means in comparison.means.items():
        for metric, mean in means.items():
            each = by_run.get((name, metric))
            interval = each and (each.over_days or each.over_sessions)
            table.add_row(
                name,
                metric,
                "" if mean is None else f"{mean:.4f}",
                f"{each.mean:+.4f}" if each else "",
                f"{interval.low:+.4f} to {interval.high:+.4f}" if interval else "",
                f"{each.p_holm:.4f}" if each and each.p_holm is not None else "",
            )
    return table


def _read(name: str, folder: Path) -> Run:
    opened = RunFolder.open(folder)
    item = opened.schema.item_id
    return Run.read(name, folder, opened.settings, item.cardinality or 0, opened.vocabularies.get(item.name))
