"""Draw throughput and memory against the sizes that a benchmark varied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZES = {"num_items": "items in the catalogue", "length": "mean session length", "num_sessions": "sessions in the file"}
MEASURES = {
    "train_sessions_per_s": "training, sessions/s",
    "eval_sessions_per_s": "evaluation, sessions/s",
    "peak_memory_mb": "peak memory, MB",
}


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw a row of pictures for each size that has two values or more, a line a loss and precision."""
    from matplotlib.figure import Figure

    varied = [size for size in SIZES if len({row[size] for row in rows}) > 1] or ["num_items"]
    figure = Figure(figsize=(12, 3.4 * len(varied)), layout="constrained")
    axes = figure.subplots(len(varied), len(MEASURES), squeeze=False)
    for of_size, size in zip(axes, varied, strict=True):
        for axis, (measure, title) in zip(of_size, MEASURES.items(), strict=True):
            for name, points in _lines(rows, size, measure).items():
                axis.plot(*zip(*points, strict=True), "--" if name == "baseline" else "-", marker="o", label=name)
            axis.set(xlabel=SIZES[size], title=title, ylim=(0, None), xscale="linear" if size == "length" else "log")
            # The sizes that were measured, in place of powers of ten.
            axis.set_xticks(sorted({row[size] for row in rows}), minor=False)
            axis.set_xticks([], minor=True)
            axis.xaxis.set_major_formatter("{x:,g}")
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside lower center")
    figure.savefig(path, dpi=120)


def _lines(rows: Sequence[dict[str, Any]], size: str, measure: str) -> dict[str, list[tuple[float, float]]]:
    """Give the points of each line, in order; the other sizes are those of the first row."""
    others = [name for name in SIZES if name != size]
    lines: dict[str, dict[float, float]] = {}
    for row in rows:
        if all(row[name] == rows[0][name] for name in others):
            lines.setdefault(f"{row['loss_type']}, {row['precision']}", {})[row[size]] = row[measure]
            if f"baseline_{measure}" in row:
                lines.setdefault("baseline", {})[row[size]] = row[f"baseline_{measure}"]
    return {name: sorted(points.items()) for name, points in lines.items()}
