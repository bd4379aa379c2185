from pathlib import Path

import pytest

from transformers4recsys.comparison.runs import Run, names_of
from transformers4recsys.errors import InputError


def test_runs_are_named_by_as_much_of_their_folders_as_tells_them_apart():
    assert names_of([Path("/x/a"), Path("/y/b")]) == ["a", "b"]
    assert names_of([Path("/x/run"), Path("/y/run")]) == ["x/run", "y/run"]
    with pytest.raises(InputError, match="given twice"):
        names_of([Path("/x/run"), Path("/x/run")])


def test_a_run_that_was_not_evaluated_is_named(tmp_path):
    with pytest.raises(InputError, match="has no evaluation results"):
        Run.read("run", tmp_path, {}, 10, None)


def test_baselines_are_what_is_reported_under_the_same_metric(make_run):
    extra = {"eval_most_popular_precision@20": 0.1, "eval_avg_precision@20": 0.2, "eval_precision@20": 0.3}
    run = make_run("run", {"2026-01-02": [(1, 1, 5, 2, 0.5)]}, extra=extra)
    assert run.baselines_of("precision@20") == ["most_popular"]
