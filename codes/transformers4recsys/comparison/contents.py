"""What a comparison says, as plain values: means, curves, paired differences, slices, settings, and its doubts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from transformers4recsys.comparison.pairs import Pairs, pair
from transformers4recsys.comparison.runs import Run
from transformers4recsys.comparison.slices import Slice, slices_of
from transformers4recsys.metrics import statistics
from transformers4recsys.metrics.statistics import DayPairs, Interval

# Settings that decide which targets are ranked, and among what.
PROTOCOL = (
    "data_path",
    "time_unit",
    "eval_on_test_set",
    "eval_on_last_item_seq_only",
    "exclude_seen_in_evaluation",
    "compute_metrics_each_n_steps",
)
Curves = dict[str, list[float | None]]
# Settings that say where a run lies, and not what it is.
PLACES = ("output_dir", "run_name", "logging_dir")


@dataclass(frozen=True)
class Difference:
    """A run less the first one: `mean` over days, intervals, effect size and p-values, None where they cannot be known.

    `tested` says what was flipped for `p`: days, or sessions where there are few days. `p_holm` is corrected for all
    differences of the comparison.
    """

    run: str
    metric: str
    mean: float
    relative: float | None
    days: int
    sessions: int
    over_days: Interval | None
    over_sessions: Interval | None
    effect_size: float | None
    tested: str | None
    p: float | None
    p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All that the page shows; `means` and `curves` by run, then by metric. The first run is the one compared with."""

    runs: list[dict[str, Any]]
    metrics: list[str]
    days: list[str]
    means: dict[str, dict[str, float | None]]
    curves: dict[str, Curves]
    differences: list[Difference]
    slices: dict[str, list[Slice]]
    settings: list[dict[str, Any]]
    doubts: list[str] = field(default_factory=list[str])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(runs: Sequence[Run], metrics: Sequence[str], *, seed: int = 0) -> Comparison:
    """Compare runs with the first of them, over the days that all have."""
    days = [day for day in runs[0].days if all(day in run.days for run in runs)]
    curves = _curves(runs, days, metrics)
    rng, doubts = np.random.default_rng(seed), _doubts(runs, days)
    differences: list[Difference] = []
    for other in runs[1:]:
        with_targets = [day for day in days if any(run.value(day, "num_targets") != 0 for run in (runs[0], other))]
        pairs = {day: _pair(runs[0], other, day, metrics) for day in with_targets}
        doubts += _doubts_of_pairs(runs[0].name, other.name, pairs)
        found = [_difference(runs[0], other, days, pairs, metric, rng) for metric in metrics]
        differences += [each for each in found if each is not None]
    return Comparison(
        runs=[_card(run) for run in runs],
        metrics=list(metrics),
        days=days,
        means={name: {metric: _mean(values) for metric, values in series.items()} for name, series in curves.items()},
        curves=curves,
        differences=_corrected(differences),
        slices={run.name: slices_of(run, metrics) for run in runs},
        settings=_settings(runs),
        doubts=doubts,
    )


def _card(run: Run) -> dict[str, Any]:
    days = list(run.days)
    return {
        "name": run.name,
        "folder": str(run.folder),
        "model": run.settings.get("model_type"),
        "days": len(days),
        "first_day": days[0],
        "last_day": days[-1],
        "items": run.num_items,
    }


def _curves(runs: Sequence[Run], days: Sequence[str], metrics: Sequence[str]) -> dict[str, Curves]:
    """Give the values by day of the runs, then of what they were reported beside: once where it is the same for all."""
    curves: dict[str, Curves] = {
        run.name: {metric: [run.value(day, metric) for day in days] for metric in metrics} for run in runs
    }
    beside: dict[str, dict[str, Curves]] = {}
    for run in runs:
        for name in dict.fromkeys(name for metric in metrics for name in run.baselines_of(metric)):
            values = {metric: [run.value(day, f"{name}_{metric}") for day in days] for metric in metrics}
            beside.setdefault(name.replace("_", " "), {})[run.name] = values
    for name, by_run in beside.items():
        if len(by_run) == len(runs) and all(each == next(iter(by_run.values())) for each in by_run.values()):
            curves[name] = next(iter(by_run.values()))
        else:
            curves |= {f"{run}: {name}": values for run, values in by_run.items()}
    return curves


def _pair(first: Run, second: Run, day: str, metrics: Sequence[str]) -> Pairs | None:
    paths = first.predictions_of(day), second.predictions_of(day)
    return pair(paths[0], paths[1], metrics) if paths[0] and paths[1] else None


def _difference(
    first: Run,
    other: Run,
    days: Sequence[str],
    pairs: Mapping[str, Pairs | None],
    metric: str,
    rng: np.random.Generator,
) -> Difference | None:
    """Take sessions where they can be matched on all days, else the numbers of the days."""
    values = [(other.value(day, metric), first.value(day, metric)) for day in days]
    differences = [a - b for a, b in values if a is not None and b is not None]
    base = _mean([b for a, b in values if a is not None and b is not None])
    matched = [DayPairs(each.second[metric] - each.first[metric], each.targets) for each in pairs.values() if each]
    matched = [each for each in matched if len(each.targets)]
    by_session = matched if len(matched) == len(differences) else []
    if by_session:
        differences = [each.mean for each in by_session]
    if not differences:
        return None
    is_over_days = len(differences) >= statistics.FEWEST_DAYS
    p = statistics.p_over_days(differences, rng) if is_over_days else None
    if not is_over_days and by_session:
        p = statistics.p_over_sessions(by_session, rng)
    mean = math.fsum(differences) / len(differences)
    return Difference(
        other.name,
        metric,
        mean=mean,
        relative=mean / base if base else None,
        days=len(differences),
        sessions=sum(len(each.targets) for each in by_session),
        over_days=statistics.interval_over_days(differences, rng) if is_over_days else None,
        over_sessions=statistics.interval_over_sessions(by_session, rng) if by_session else None,
        effect_size=statistics.effect_size(by_session) if by_session else None,
        tested=None if p is None else "days" if is_over_days else "sessions",
        p=p,
    )


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    tested = [each for each in differences if each.p is not None]
    p_values = statistics.holm([each.p for each in tested if each.p is not None])
    corrected = dict(zip(map(id, tested), p_values, strict=True))
    return [replace(each, p_holm=corrected.get(id(each))) for each in differences]


def _settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """List the settings in which the runs differ."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    rows = [{"name": name, "values": [run.settings.get(name) for run in runs]} for name in names if name not in PLACES]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _doubts(runs: Sequence[Run], days: Sequence[str]) -> list[str]:
    """Say why runs may not be comparable at all."""
    doubts: list[str] = []
    for run in runs:
        left_out = len(run.days) - len(days)
        if left_out:
            doubts.append(f"{run.name} was evaluated on {_counted(left_out, 'more day')} than all runs have in common")
    for name in PROTOCOL:
        values = [run.settings.get(name) for run in runs]
        if any(value != values[0] for value in values):
            told = ", ".join(f"{run.name} {value}" for run, value in zip(runs, values, strict=True))
            doubts.append(f"the runs differ in {name}: {told}")
    if len({run.num_items for run in runs}) > 1:
        told = ", ".join(f"{run.name} {run.num_items:,}" for run in runs)
        doubts.append(f"the runs rank among different numbers of items: {told}")
    for run in runs[1:]:
        unequal = sum(run.value(day, "num_targets") != runs[0].value(day, "num_targets") for day in days)
        if unequal:
            doubts.append(f"{run.name} and {runs[0].name} have other numbers of targets on {_counted(unequal, 'day')}")
    return doubts


def _doubts_of_pairs(first: str, second: str, pairs: Mapping[str, Pairs | None]) -> list[str]:
    """Say which sessions could not be matched."""
    matched = [each for each in pairs.values() if each]
    if len(matched) < len(pairs):
        return [
            f"{second} and {first}: sessions cannot be matched on {_counted(len(pairs) - len(matched), 'day')}, as "
            "no predictions of both name their session; days are compared whole (train with log_predictions)"
        ]
    left_over = [sum(each.left_over[side] for each in matched) for side in (0, 1)]
    doubts = [
        f"{_counted(number, 'target')} of {run} could not be matched with {other}"
        for run, other, number in ((first, second, left_over[0]), (second, first, left_over[1]))
        if number
    ]
    if other_labels := sum(each.other_labels for each in matched):
        doubts.append(f"{_counted(other_labels, 'target')} of {first} and {second} have other labels: left out")
    return doubts


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
