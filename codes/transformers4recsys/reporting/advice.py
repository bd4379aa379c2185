"""What to change where a model is behind its best baseline: the two settings most likely to help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from transformers4recsys.model_types import BASELINE_NAMES
from transformers4recsys.reporting.days import Numbers, average_over_days

METRIC = "ndcg@20"
# Other names in front are of groups of labels.
BASELINES = ("most_popular", *BASELINE_NAMES)

# In order of how much each usually helps: a setting, whether it is to blame, and the value to try.
Remedy = tuple[str, Callable[[Any, Mapping[str, Any]], bool], Callable[[Any], Any]]
REMEDIES: tuple[Remedy, ...] = (
    ("learning_rate", lambda rate, _: rate < 0.0005, lambda _: 0.001),
    ("constrained_embeddings", lambda is_on, of: not (is_on or of.get("mf_constrained_embeddings")), lambda _: "true"),
    ("tf_out_activation", lambda name, _: name == "relu", lambda _: "none"),
    ("per_device_train_batch_size", lambda size, _: size > 64, lambda size: max(size // 4, 32)),
    ("training_time_window_size", lambda window, _: window < 10, lambda window: max(7, 3 * window)),
    ("learning_rate_schedule", lambda name, _: name == "constant_with_warmup", lambda _: "linear_with_warmup"),
    ("num_train_epochs", lambda epochs, _: epochs < 10, lambda epochs: f"{max(2 * epochs, 2):g}"),
    ("learning_rate", lambda rate, _: rate < 0.003, lambda rate: f"{2 * rate:g}"),
    ("dropout", lambda share, _: share < 0.4, lambda share: f"{share + 0.1:.1f}"),
)


def advice(days: Iterable[Numbers], settings: Mapping[str, Any]) -> str | None:
    """Say that the model was behind a baseline in the last half of the days, and what to try; None where it was not."""
    all_days = list(days)
    means = average_over_days(all_days[len(all_days) // 2 :])
    own, found = means.get(f"eval_{METRIC}"), baselines_of(means)
    if own is None or not found or settings.get("model_type") in BASELINE_NAMES:
        return None
    best = max(found, key=lambda name: found[name])
    if own >= found[best]:
        return None
    flags = " and ".join(f"--{name} {value} (now {_as_given(now)})" for name, value, now in remedies(settings)[:2])
    behind = (
        f"The model is behind a baseline in the last half of the days: {METRIC} {own:.4f}, "
        f"{best.replace('_', ' ')} {found[best]:.4f}."
    )
    return f"{behind} Most likely to help: {flags}." if flags else behind


def baselines_of(means: Numbers) -> dict[str, float]:
    """Find the metric of each baseline that was measured beside the model."""
    prefix, suffix = "eval_", f"_{METRIC}"
    values = {name[len(prefix) : -len(suffix)]: value for name, value in means.items() if name.endswith(suffix)}
    return {name: value for name, value in values.items() if name in BASELINES and value is not None}


def _as_given(value: Any) -> str:
    """Write a value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def remedies(settings: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List what to change, each setting once: its name, the value to try, and the value that it has."""
    chosen: dict[str, tuple[str, Any, Any]] = {}
    for name, is_to_blame, value_of in REMEDIES:
        now = settings.get(name)
        if now is not None and name not in chosen and is_to_blame(now, settings):
            chosen[name] = (name, value_of(now), now)
    return list(chosen.values())
