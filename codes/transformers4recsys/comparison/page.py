"""The comparison as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from markupsafe import Markup

from transformers4recsys.comparison.attention import AttendedSession, picture
from transformers4recsys.comparison.contents import Comparison, Difference
from transformers4recsys.metrics.statistics import FEWEST_DAYS, Interval
from transformers4recsys.reporting import charts
from transformers4recsys.reporting.pages import render

DIFFERENCE_HEADS = (
    "run",
    "metric",
    "difference",
    "relative",
    "95 %, days",
    "95 %, sessions",
    "effect",
    "p",
    "p, Holm",
    "days",
    "sessions",
)
NONE = "-"


def page(comparison: Comparison, attention: Sequence[AttendedSession] = ()) -> str:
    """Lay a comparison out; the template escapes every text in it."""
    template = files("transformers4recsys.comparison").joinpath("page.html").read_text(encoding="utf-8")
    names = [run["name"] for run in comparison.runs]
    values = dict(
        title=f"{len(names)} runs compared" if len(names) > 1 else names[0],
        first=names[0],
        days=comparison.days,
        doubts=comparison.doubts,
        runs=[tuple(run[name] for name in ("name", "model", "days", "items", "folder")) for run in comparison.runs],
        mean_heads=("mean of", *comparison.metrics),
        means=[
            (name, *(_number(of_run[metric]) for metric in comparison.metrics))
            for name, of_run in comparison.means.items()
        ],
        legend=[(*charts.colour_of(number), name) for number, name in enumerate(comparison.curves)],
        plots=[Markup(_curve(comparison, metric)) for metric in comparison.metrics],
        tested=" or ".join(dict.fromkeys(each.tested for each in comparison.differences if each.tested)) or "days",
        fewest_days=FEWEST_DAYS,
        difference_heads=DIFFERENCE_HEADS,
        differences=[_row(each) for each in comparison.differences],
        interval_plots=[Markup(plot) for metric in comparison.metrics for plot in _intervals(comparison, metric)],
        slices=_slices(comparison),
        setting_heads=("setting", *names),
        settings=[(row["name"], *row["values"]) for row in comparison.settings],
        attention=[
            {"items": each.items, "pictures": [(name, Markup(picture(each, name))) for name in each.weights]}
            for each in attention
        ],
    )
    return render(template, values)


def _curve(comparison: Comparison, metric: str) -> str:
    series = {name: of_run[metric] for name, of_run in comparison.curves.items()}
    days = comparison.days
    return charts.lines(metric, range(len(days)), series, x_labels=days, has_legend=False)


def _intervals(comparison: Comparison, metric: str) -> list[str]:
    rows = [
        (each.run, each.mean, interval.low, interval.high)
        for each in comparison.differences
        if each.metric == metric and (interval := each.over_days or each.over_sessions)
    ]
    return [charts.intervals(f"{metric}: difference from {comparison.runs[0]['name']}, 95 %", rows)] if rows else []


def _row(each: Difference) -> tuple[str, ...]:
    return (
        each.run,
        each.metric,
        f"{each.mean:+.4f}",
        NONE if each.relative is None else f"{100 * each.relative:+.1f} %",
        _interval(each.over_days),
        _interval(each.over_sessions),
        NONE if each.effect_size is None else f"{each.effect_size:+.3f}",
        _p(each.p),
        _p(each.p_holm),
        f"{each.days:,}",
        f"{each.sessions:,}" if each.sessions else NONE,
    )


def _slices(comparison: Comparison) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Give a table for each kind of target: a row a slice, a column a metric and run."""
    found = {name: {(each.kind, each.name): each for each in of_run} for name, of_run in comparison.slices.items()}
    keys = list(dict.fromkeys(key for of_run in found.values() for key in of_run))
    runs = [name for name, of_run in found.items() if of_run]
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = []
    for kind in dict.fromkeys(kind for kind, _ in keys):
        heads = (kind, "targets", *(f"{metric}, {run}" for metric in comparison.metrics for run in runs))
        rows: list[tuple[str, ...]] = []
        for key in (key for key in keys if key[0] == kind):
            slices = [found[run].get(key) for run in runs]
            values = [_number(each.means[metric] if each else None) for metric in comparison.metrics for each in slices]
            rows.append((key[1], f"{max(each.targets for each in slices if each):,}", *values))
        tables.append((kind, heads, rows))
    return tables


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _interval(interval: Interval | None) -> str:
    return NONE if interval is None else f"{interval.low:+.4f} to {interval.high:+.4f}"


def _p(value: float | None) -> str:
    return NONE if value is None else "< .0001" if value < 0.0001 else f"{value:.4f}"
