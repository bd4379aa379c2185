"""The main job on the made-up shop, with every feature that its recipe makes: more is learned than what is popular."""

import csv
from pathlib import Path

import pytest

from transformers4recsys import cli

DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.mark.slow
def test_a_model_of_all_features_outranks_the_most_popular_items(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate = ["--output", "log", "--days", "3", "--sessions_per_day", "3000", "--items", "1000"]
    assert cli.main(["simulate", *simulate]) == 0
    assert cli.main(["preprocess", "--input", "log", "--output", "days", "--recipe", "ecommerce-large"]) == 0
    train = str(DATASETS / "simulated" / "train.yaml")
    assert cli.main(["train", train, "--end_date", "2019-10-03", "--report_to", "none"]) == 0

    with Path("results/eval_train_results_dates.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["eval_ndcg@20"]) > 1.5 * float(last["eval_most_popular_ndcg@20"])
