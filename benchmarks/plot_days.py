"""Draw runs day by day beside the most popular items: python benchmarks/plot_days.py PICTURE.png RUN [RUN ...].

A run is named by its folder. Thin lines are days, thick ones means of seven days around.
"""

import argparse
import csv
from datetime import date
from pathlib import Path

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np

METRICS = {"ndcg@20": "NDCG@20", "recall@20": "recall@20"}
COLOURS = ("#1f5fbf", "#c2571a", "#0f9d76", "#8b6fd6")


def draw(picture: Path, runs: list[Path]) -> None:
    lines = [(run.name, run, "eval_") for run in runs] + [("most popular", runs[0], "eval_most_popular_")]
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for (metric, title), axes in zip(METRICS.items(), panels, strict=True):
        for (name, run, prefix), colour in zip(lines, (*COLOURS[: len(runs)], "#777777"), strict=True):
            days, values = of_days(run, f"{prefix}{metric}")
            axes.plot(days, values, color=colour, linewidth=0.8, alpha=0.3)
            around = [values[max(0, day - 3) : day + 4].mean() for day in range(len(values))]
            axes.plot(days, around, color=colour, linewidth=2, label=name if axes is panels[0] else None)
        axes.set(title=title, ylim=(0, None))
        axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.legend(frameon=False, ncols=len(lines), loc="outside lower center")
    figure.savefig(picture, dpi=130)


def of_days(run: Path, name: str) -> tuple[list[date], np.ndarray]:
    with (run / "eval_train_results_dates.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row[name]]
    return [date.fromisoformat(row["index"]) for row in rows], np.array([float(row[name]) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", help=f"folders of at most {len(COLOURS)} runs")
    given = parser.parse_args()
    draw(given.picture, given.runs)


if __name__ == "__main__":
    main()
