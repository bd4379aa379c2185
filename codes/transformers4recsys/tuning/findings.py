"""What a search found: the trials as CSV, the best settings as YAML, and a page of pictures."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from transformers4recsys.reporting import charts
from transformers4recsys.reporting.pages import render

FEWEST_FOR_IMPORTANCE = 10
TOLD = ("mean", "days", "note")
PAGE = """{% from "page_table.html" import table %}
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Search over settings</title>
<style>{% include "page_style.css" %}</style></head><body><main>
<h1>Search over settings: {{ metric }}</h1>
<p>{{ complete }} trials ran all {{ days }} days of choosing, {{ pruned }} were given up early, {{ failed }} failed;
{{ saved }} of {{ possible }} days were not trained.</p>
<div class="plots">{{ history }}</div>
<h2>Best settings, trial {{ best.number }}</h2>
{{ table(("setting", "value", "importance"), settings) }}
<h2>Each setting, all trials that ran to the end</h2>
<div class="plots">{% for plot in plots %}{{ plot }}{% endfor %}</div>
</main></body></html>
"""


def write_trials(trials: Sequence[FrozenTrial], path: Path) -> None:
    """Write a row a trial: number, state, mean of the metric over its days, days, note, and its settings."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["number", "state", *TOLD, *names])
        for trial in trials:
            told = [trial.user_attrs.get(name) for name in TOLD]
            settings = trial.user_attrs.get("settings", trial.params)
            writer.writerow([trial.number, trial.state.name.lower(), *told, *(settings.get(name) for name in names)])


def write_settings(values: Mapping[str, Any], path: Path, *, remark: str) -> None:
    """Write settings that `train` takes as they are."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    path.write_text(f"# {remark}\n{text}", encoding="utf-8")


def write_page(study: Study, path: Path, *, metric: str, days: int) -> None:
    """Draw how the search went, and each setting against the metric."""
    trials = study.get_trials(deepcopy=False)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    importance = _importance(study, len(done))
    values = dict(
        metric=metric,
        complete=len(done),
        pruned=len(pruned),
        failed=sum(trial.state == TrialState.FAIL for trial in trials),
        days=days,
        saved=sum(days - trial.user_attrs.get("days", 0) for trial in pruned),
        possible=days * (len(done) + len(pruned)),
        history=Markup(_history(done, metric)),
        best=study.best_trial,
        settings=[
            (name, value, f"{importance[name]:.2f}" if name in importance else "")
            for name, value in study.best_trial.user_attrs["settings"].items()
        ],
        plots=[Markup(_scatter(name, done, metric)) for name in study.best_trial.params],
    )
    path.write_text(render(PAGE, values), encoding="utf-8")


def _history(done: Sequence[FrozenTrial], metric: str) -> str:
    values = [trial.value or 0.0 for trial in done]
    best = [max(values[: number + 1]) for number in range(len(values))]
    labels = [str(trial.number) for trial in done]
    series = {"trial": values, "best so far": best}
    return charts.lines(metric, range(len(done)), series, x_labels=labels, x_name="trial")


def _scatter(name: str, done: Sequence[FrozenTrial], metric: str) -> str:
    points = [(trial.params[name], trial.value or 0.0) for trial in done if name in trial.params]
    values = [value for value, _ in points]
    if not all(isinstance(value, int | float) for value in values):
        kinds = {value: number for number, value in enumerate(sorted(set(values), key=str))}
        return charts.points(
            name, [(kinds[value], y) for value, y in points], y_name=metric, labels=list(map(str, kinds))
        )
    is_log = min(values) > 0 and max(values) / min(values) >= 30
    return charts.points(name, points, y_name=metric, is_log=is_log)


def _importance(study: Study, num_done: int) -> dict[str, float]:
    if num_done < FEWEST_FOR_IMPORTANCE:
        return {}
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: value for name, value in found.items() if math.isfinite(value)}
