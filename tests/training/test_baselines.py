"""Baselines through the day loop: in the place of a model, and beside one."""

import csv
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.errors import InputError
from transformers4recsys.metrics import catalogue
from transformers4recsys.metrics.sparse_scores import SortedBias
from transformers4recsys.recommender import Recommender
from transformers4recsys.training import evaluation

BASELINE = {"model_type": "popular", "d_model": None, "n_layer": None, "n_head": None, "learning_rate": None}
METRICS = [f"{name}@{k}" for name in ("ndcg", "recall", "precision", "avg_precision", "mrr") for k in (5, 10, 20, 100)]


def days_of(folder):
    with open(folder / "eval_train_results_dates.csv") as file:
        return list(csv.DictReader(file))


def test_popular_in_the_place_of_a_model_equals_popular_beside_one(run_train, capsys):
    popular = run_train("popular", **BASELINE)
    beside = run_train("gru", baselines="popular")
    assert "have no effect" not in capsys.readouterr().err
    for own, other in zip(days_of(popular), days_of(beside), strict=True):
        assert own["eval_loss"] == "" and int(float(own["eval_num_targets"])) > 50
        for metric in METRICS:
            assert own[f"eval_{metric}"] == own[f"eval_most_popular_{metric}"]
            assert other[f"eval_popular_{metric}"] == other[f"eval_most_popular_{metric}"] == own[f"eval_{metric}"]


def test_rules_find_what_the_sessions_follow_and_recommend_what_they_rank(run_train, toy_days):
    folder = run_train(**BASELINE | {"model_type": "rules"}, log_predictions="true", predict_top_k=30)
    for day in days_of(folder):
        assert float(day["eval_recall@5"]) > 0.7 > 0.4 > float(day["eval_most_popular_recall@5"])
    rows = pq.read_table(folder / "pred_logs" / "preds_date_2019-10-03.parquet").to_pylist()
    recommender = Recommender.load(folder)
    sessions = pq.read_table(toy_days / "session_start_date=2019-10-03-valid.parquet")["item_id"].to_pylist()
    predicted = [session[:place] for session in sessions for place in range(1, len(session))]
    lists = recommender.recommend(predicted, k=30).to_pylist()
    for number, row in enumerate(rows):
        own = [(each["item"], each["score"]) for each in lists if each["session"] == number]
        assert sorted(own) == sorted(zip(row["rec_item_ids"], row["rec_item_scores"], strict=True))
    assert recommender.scores([[3]])[0, 0] == -float("inf")
    (best,) = recommender.recommend([[3]], k=1, candidates=[3, 4, 9]).to_pylist()
    assert best["item"] == 4
    with pytest.raises(InputError, match="rules is a baseline"):
        recommender.encode([[3]])


@pytest.mark.parametrize("model", [BASELINE | {"model_type": "rules"}, {"baselines": '["rules", "recent"]'}])
def test_going_on_equals_never_having_stopped(model, run_train, capsys):
    whole = run_train("whole", end_date="2019-10-04", **model)
    parts = run_train("parts", end_date="2019-10-03", **model)
    run_train("parts", end_date="2019-10-04", resume_from_checkpoint="true", **model)
    for name in ("eval_train_results_dates.csv", "model.safetensors"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    states = sorted(path.relative_to(whole) for path in whole.glob("baselines/*"))
    assert len(states) == (2 if "baselines" in model else 0)
    assert all((parts / name).read_bytes() == (whole / name).read_bytes() for name in states)
    run_train("parts", exit_code=2, end_date="2019-10-04", resume_from_checkpoint="true", rules_window=3, **model)
    assert "rules_window: 10 -> 3" in capsys.readouterr().err


def test_a_baseline_that_comes_late_is_refused_and_one_may_be_left_out(run_train, capsys):
    run_train(end_date="2019-10-02", baselines="recent")
    run_train(exit_code=2, resume_from_checkpoint="true", baselines="rules")
    assert "--baselines rules: out was run without it so far" in capsys.readouterr().err
    folder = run_train(resume_from_checkpoint="true")
    assert not any("recent" in name for name in json.loads((folder / "manifest.json").read_text())["files"])


def test_settings_of_a_network_have_no_effect_on_a_baseline(run_train, capsys):
    run_train(**BASELINE | {"d_model": 32, "tf_out_activation": "tanh"}, end_date="2019-10-02")
    [said] = [line for line in capsys.readouterr().err.splitlines() if "popular is a baseline" in line]
    assert "--d_model, --tf_out_activation have no effect here" in said


def test_metrics_by_name_stand_in_the_results_of_models_and_baselines(run_train):
    metrics = '["coverage", "by_length", "hit_rate_1"]'
    for folder in (run_train("gru", end_date="2019-10-02", metrics=metrics), run_train(**BASELINE, metrics=metrics)):
        day = days_of(folder)[0]
        assert 0 < float(day["eval_coverage@10"]) <= float(day["eval_coverage@20"]) <= 1
        assert float(day["eval_recall@1"]) <= float(day["eval_recall@5"])
        assert {"eval_length_1_ndcg@10", "eval_length_2_to_4_recall@20", "eval_length_5_up_mrr@20"} <= day.keys()
    popular = days_of(folder)[0]
    # One list for all: ten of the thirty items.
    assert float(popular["eval_coverage@10"]) == pytest.approx(10 / 30)


def test_baselines_beside_a_model_have_the_metrics_by_name_that_they_have_alone(run_train, capsys):
    metrics = json.dumps(["coverage", "novelty", "debiased", "by_popularity", "hit_rate_1", "serendipity"])
    alone = days_of(run_train("rules", **BASELINE | {"model_type": "rules"}, metrics=metrics))
    beside = days_of(run_train("gru", baselines="rules", metrics=metrics))
    for own, other in zip(alone, beside, strict=True):
        names = [name for name in own if name.startswith("eval_") and f"eval_rules_{name[5:]}" in other]
        assert {"eval_novelty@10", "eval_tail_mrr@20", "eval_recall@1", "eval_serendipity@20"} < set(names)
        assert all(own[name] == other[f"eval_rules_{name[5:]}"] for name in names)
        # One list for all again, of the items known best: as new to nobody as can be.
        assert float(other["eval_most_popular_coverage@20"]) == pytest.approx(20 / 30)
        assert float(other["eval_most_popular_novelty@10"]) < float(own["eval_novelty@10"])
        assert float(other["eval_most_popular_serendipity@10"]) < 0.1


def test_items_are_sorted_by_their_bias_once_a_day_not_once_a_batch(run_train, monkeypatch):
    made = []

    class Counted(SortedBias):
        def __init__(self, bias_V):
            super().__init__(bias_V)
            made.append(self)

    for module in (evaluation, catalogue):
        monkeypatch.setattr(module, "SortedBias", Counted)
    run_train(baselines="rules", metrics="coverage", end_date="2019-10-02", per_device_eval_batch_size=8)
    # Of the most popular items, the rules, and the network, which needs none; on the training file and on the next day.
    needed = [{"best_items_I"}, {"best_items_I", "rising_I"}, set()]
    assert [set(vars(each)) - {"bias_V"} for each in made] == needed * 2


@pytest.mark.parametrize(("metric", "flag"), [("category", "columns"), ("intra_list", "vectors")])
def test_a_diversity_without_what_it_compares_is_refused(metric, flag, run_train, capsys):
    run_train(exit_code=2, metrics=f"{metric}_diversity")
    assert (
        f"--metrics {metric}_diversity compares the items of a list: give --diversity_{flag}" in capsys.readouterr().err
    )


def test_categories_of_the_lists_are_those_of_the_item_table(run_train, toy_days, capsys):
    (toy_days / "vocabulary").mkdir()
    pq.write_table(pa.table({"raw": ["a", "b"], "id": [1, 2]}), toy_days / "vocabulary" / "kind.parquet")
    ids = list(range(1, 31))
    # Among the ten most popular items of the first day, which are one list for all, four are of the other kind.
    rows = pq.read_table(toy_days / "session_start_date=2019-10-01-train.parquet")["item_id"].to_pylist()
    counts = Counter(item for row in rows if len(row) > 1 for item in row)
    popular = sorted(ids, key=lambda item: (-counts[item], item))[:10]
    kinds = ["b" if item in popular[:4] else "a" for item in ids]
    pq.write_table(pa.table({"raw": ids, "id": ids, "kind": kinds}), toy_days / "items.parquet")
    run_train(exit_code=2, metrics="category_diversity", diversity_columns="kid")
    assert "--diversity_columns 'kid' is unknown; did you mean kind" in capsys.readouterr().err
    day = days_of(run_train(metrics="category_diversity", diversity_columns="kind", end_date="2019-10-02"))[0]
    assert float(day["eval_most_popular_kind_diversity@10"]) == pytest.approx(4 * 6 / 45)
    assert 0 < float(day["eval_kind_diversity@10"]) < 1
