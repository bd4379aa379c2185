"""Draw the metrics of a run day by day: python benchmarks/plot_days.py RESULTS_FOLDER PICTURE.png [TITLE]."""

import csv
import sys
from datetime import date
from pathlib import Path

import matplotlib.dates as mdates
import matplotlib.pyplot as plt

LINES = {
    "eval_recall@20": ("model, recall@20", "#1f5fbf", "-"),
    "eval_most_popular_recall@20": ("most popular, recall@20", "#1f5fbf", ":"),
    "eval_ndcg@20": ("model, NDCG@20", "#c2571a", "-"),
    "eval_most_popular_ndcg@20": ("most popular, NDCG@20", "#c2571a", ":"),
}


def main(results: Path, picture: Path, title: str) -> None:
    with (results / "eval_train_results_dates.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["eval_recall@20"]]
    days = [date.fromisoformat(row["index"]) for row in rows]
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, (label, color, style) in LINES.items():
        axes.plot(days, [float(row[name]) for row in rows], style, color=color, label=label, linewidth=1.6)
    axes.set(title=title, ylim=(0, None), ylabel="mean over the sessions of the day")
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(frameon=False, ncols=2, loc="outside lower center")
    figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "Evaluation, day by day")
