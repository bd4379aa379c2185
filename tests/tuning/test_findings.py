import csv

import pytest
import yaml

from transformers4recsys.tuning.findings import write_page, write_settings, write_trials
from transformers4recsys.tuning.space import Choice, Range
from transformers4recsys.tuning.study import Search


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    space = {"rate": Range(1e-4, 1e-1, log=True), "kind": Choice(("<a>", "b"))}
    search = Search(tmp_path_factory.mktemp("study"), space, days=2, seed=0, p_prune=0.1)
    search.begin({"rate": 0.01, "kind": "b"}, "")
    search.run(lambda values, on_day, number: [on_day(values["rate"]), on_day(values["rate"] + 1)], 12)
    return search


def test_trials_are_rows(search, tmp_path):
    write_trials(search.trials, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    first = rows[0]
    assert (first["state"], first["days"], first["rate"], first["kind"]) == ("complete", "2", "0.01", "b")
    assert float(first["mean"]) == pytest.approx(0.51)


def test_settings_are_a_file_that_train_takes(tmp_path):
    write_settings({"learning_rate": 1e-3, "model_type": "gru"}, tmp_path / "best.yaml", remark="best of 3")
    text = (tmp_path / "best.yaml").read_text()
    assert text.startswith("# best of 3\n")
    assert yaml.safe_load(text) == {"learning_rate": 0.001, "model_type": "gru"}


def test_the_page_shows_each_setting_and_escapes_it(search, tmp_path):
    write_page(search.study, tmp_path / "tuning.html", metric="ndcg@20", days=2)
    text = (tmp_path / "tuning.html").read_text()
    assert "12 trials ran all 2 days" in text and "<a>" not in text and "best so far" in text
    assert text.count("<svg") == 3
