"""What is recommended is what is evaluated, for every encoder; filters, fallbacks and unknown ids."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender

DAY = "2019-10-02"


@pytest.fixture
def item_config(toy_days):
    """A feature config of the item alone."""
    config = {"item_id": {"dtype": "categorical", "cardinality": 31, "is_label": True}}
    path = toy_days / "item_id.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def trained(run_train, item_config):
    """Train on a day, evaluate the next one, and log the predictions of the last items."""

    def train(**flags):
        settings = {
            "feature_config": item_config,
            "end_date": DAY,
            "eval_on_last_item_seq_only": True,
            "log_predictions": True,
            "predict_top_k": 7,
        }
        return run_train(**{**settings, **flags})

    return train


def logged(output, day=DAY):
    return pq.read_table(output / "pred_logs" / f"preds_date_{day}.parquet").to_pylist()


def lists_of(table, num_sessions, column="item"):
    lists = [[] for _ in range(num_sessions)]
    for row in table.to_pylist():
        lists[row["session"]].append(row[column])
    return lists


def sessions_of(toy_days, split="valid", day=DAY):
    rows = pq.read_table(toy_days / f"session_start_date={day}-{split}.parquet", columns=["item_id"])
    return [session for session in rows.column("item_id").to_pylist() if len(session) > 1]


# Every encoder and task is trained in test_equals_evaluating; these differ in how they read a session.
@pytest.mark.parametrize(
    "flags",
    [
        {"model_type": "gpt2"},
        {"model_type": "gru"},
        {"model_type": "reformer"},
        {"model_type": "bert", "mlm": True},
        {"model_type": "xlnet", "mlm": True, "attn_type": "bi"},
    ],
    ids=lambda flags: flags["model_type"],
)
def test_recommending_equals_evaluating(flags, trained, toy_days):
    output = trained(**flags)
    predictions, sessions = logged(output), sessions_of(toy_days)
    assert [row["relevant_item_ids"][0] for row in predictions] == [session[-1] for session in sessions]
    found = Recommender.load(output, device="cpu").recommend([session[:-1] for session in sessions], k=7)
    assert lists_of(found, len(sessions)) == [row["rec_item_ids"] for row in predictions]
    scores = np.array(lists_of(found, len(sessions), "score"))
    np.testing.assert_allclose(scores, [row["rec_item_scores"] for row in predictions], atol=1e-5)


def test_recommending_equals_evaluating_where_popularity_shifts(trained, toy_days, write_day):
    for day in ("2019-10-02", "2019-10-03"):
        write_day(day, "train", [[5, 7, 5], [7, 5]] * 20)
    flags = {"popularity_shift": True, "training_time_window_size": 3}
    output, last = trained(**flags, end_date="2019-10-04"), "2019-10-04"
    recommender, sessions = Recommender.load(output, device="cpu"), sessions_of(toy_days, day=last)
    found = recommender.recommend([session[:-1] for session in sessions], k=7)
    assert lists_of(found, len(sessions)) == [row["rec_item_ids"] for row in logged(output, last)]
    assert all(set(best[:2]) == {5, 7} for best in lists_of(found, len(sessions)))


@pytest.mark.parametrize(
    "flags", [{"model_type": "gpt2"}, {"model_type": "bert", "mlm": True}], ids=["causal", "masked"]
)
def test_recommending_without_seen_items_equals_evaluating_without(flags, trained, toy_days):
    output = trained(**flags, exclude_seen_in_evaluation=True, session_seq_length_max=3)
    sessions = sessions_of(toy_days)
    found = Recommender.load(output, device="cpu").recommend([each[:-1] for each in sessions], 7, exclude_seen=True)
    recommended, predictions = lists_of(found, len(sessions)), logged(output)
    # A label that stands in its session already is evaluated, and never recommended.
    is_new = [session[-1] not in session[:-1] for session in sessions]
    assert sum(is_new) > 20 and max(map(len, sessions)) > 4
    for new, best, row in zip(is_new, recommended, predictions, strict=True):
        assert not new or best == row["rec_item_ids"]


def test_metrics_without_seen_items_are_those_of_the_lists(trained, toy_days):
    """In the session-aware task too: items of past sessions stay."""
    flags = {"session_aware": True, "feature_config": toy_days / "features.yaml", "predict_top_k": 30}
    output = trained(**flags, exclude_seen_in_evaluation=True, session_aware_past_seq_length_max=2)
    hits, held, past = [], 0, pq.read_table(toy_days / f"session_start_date={DAY}-valid.parquet").to_pylist()
    past = [row["bef_item_id"] for row in past if len(row["item_id"]) > 1]
    for session, row, earlier in zip(sessions_of(toy_days), logged(output), past, strict=True):
        best = [item for item, score in zip(row["rec_item_ids"], row["rec_item_scores"], strict=True) if score > -1e9]
        assert set(best) == set(range(1, 31)) - (set(session[:-1]) - {session[-1]})
        hits.append(session[-1] in best[:10])
        held += any(item in best for item in earlier)
    assert f"eval_recall@10 = {sum(hits) / len(hits)}"[:24] in (output / "eval_results_dates.txt").read_text()
    assert "exclude_seen_in_evaluation = true" in (output / "eval_results_avg_over_days.txt").read_text()


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """The folder of a run that the first test that asks for it trains."""
    return tmp_path_factory.mktemp("finished") / "out"


@pytest.fixture
def recommender(finished_run, request):
    if not finished_run.exists():
        request.getfixturevalue("trained")(output_dir=finished_run, end_date="2019-10-03")
    return Recommender.load(finished_run, device="cpu")


def test_recommending_equals_evaluating_with_positions_from_the_end_and_cosines(trained, toy_days):
    flags = {"model_type": "sasrec", "positions_from_end": True, "score": "cosine", "temperature": 0.1}
    flags |= {"constrained_embeddings": True, "inp_merge": "none", "item_dropout": 0.2, "input_dropout": 0}
    output = trained(**flags)
    found = Recommender.load(output).recommend([session[:-1] for session in sessions_of(toy_days)], k=7)
    assert lists_of(found, len(logged(output))) == [row["rec_item_ids"] for row in logged(output)]


def test_lists_are_the_best_of_all_scores(recommender):
    scores = recommender.scores([[3, 7], [9]])
    assert scores.shape == (2, 31) and np.isneginf(scores[:, 0]).all()
    best = np.argsort(-scores, axis=1)[:, :5]
    table = recommender.recommend([[3, 7], [9]], k=5)
    assert table.column_names == ["session", "rank", "item", "score", "is_fallback"]
    assert table.column("rank").to_pylist() == [1, 2, 3, 4, 5] * 2
    assert lists_of(table, 2) == best.tolist()
    np.testing.assert_allclose(table.column("score").to_numpy()[:5], scores[0, best[0]], rtol=1e-5)


def test_scores_are_products_of_sessions_and_items(recommender):
    sessions = [[3, 7], [5]]
    products = recommender.encode(sessions) @ recommender.item_vectors.T + recommender.item_bias
    np.testing.assert_allclose(products, recommender.scores(sessions), rtol=1e-4, atol=1e-5)
    assert recommender.item_ids.to_pylist() == [None, *range(1, 31)]


def test_only_the_last_items_of_a_long_session_count(recommender):
    long = [(number % 30) + 1 for number in range(50)]
    np.testing.assert_array_equal(recommender.scores([long]), recommender.scores([long[-19:]]))
    assert not np.array_equal(recommender.scores([long[-18:]]), recommender.scores([long[-19:]]))


def test_filters_choose_among_the_scores(recommender):
    sessions = [[3, 7], [9, 3]]
    order = [(1 + np.argsort(-row[1:])).tolist() for row in recommender.scores(sessions)]

    def expect(keep, **filters):
        wanted = [[item for item in best if keep(number, item)][:4] for number, best in enumerate(order)]
        assert lists_of(recommender.recommend(sessions, k=4, **filters), 2) == wanted

    expect(lambda number, item: item not in sessions[number], exclude_seen=True)
    expect(lambda number, item: item not in order[0][:3], exclude=order[0][:3])
    expect(lambda number, item: number or item != order[0][0], exclude=[[order[0][0]], []])
    expect(lambda number, item: item in (1, 2, 30), candidates=[30, 1, 2])
    expect(lambda number, item: item <= 20, candidates=range(1, 21))
    expect(lambda number, item: item in (4, 5, 6, 7, 8) if number else item == 11, candidates=[[11], [8, 7, 6, 5, 4]])
    expect(lambda n, item: item in (2, 30) and item not in sessions[n], candidates=[3, 2, 30], exclude_seen=True)


def test_a_score_can_be_asked_for(recommender):
    scores = np.sort(recommender.scores([[3, 7]])[0])
    table = recommender.recommend([[3, 7]], k=10, min_score=float(scores[-3]))
    assert len(table) == 3 and min(table.column("score").to_pylist()) == pytest.approx(scores[-3])


def test_unknown_ids_are_counted_and_left_out(recommender, caplog):
    sessions = [[3, 99, 7], ["abc"], []]
    table = recommender.recommend(sessions, k=3, candidates=[1, 2, 3, 1000])
    assert table.column("session").to_pylist() == [0, 0, 0]
    counts = {name.decode(): int(value) for name, value in table.schema.metadata.items()}
    assert counts == {
        "sessions": 3,
        "sessions_without_known_item": 2,
        "unknown_items": 2,
    }
    assert "`candidates`: ids that are not known to this run: 1" in caplog.text
    assert "not known to this run, and are left out: 2" in caplog.text
    np.testing.assert_array_equal(recommender.scores(sessions)[0], recommender.scores([[3, 7]])[0])
    assert np.isnan(recommender.scores(sessions)[1:]).all() and np.isnan(recommender.encode(sessions)[1:]).all()


def test_popular_items_stand_in_where_no_item_is_known(recommender):
    counts = recommender._inference.model.item_counts.numpy()
    best = sorted(range(1, 31), key=lambda item: (-counts[item], item))
    table = recommender.recommend([["?"], [3]], k=3, fallback="popular", exclude=[best[0]])
    assert table.column("is_fallback").to_pylist() == [True] * 3 + [False] * 3
    found = table.column("item").to_pylist()[:3]
    assert counts[found].tolist() == counts[best[1:4]].tolist() and best[0] not in found
    assert table.column("score")[0].as_py() == pytest.approx(counts[found[0]] / counts.sum())


def test_nothing_in_gives_nothing_out(recommender):
    assert len(recommender.recommend([])) == 0 and len(recommender.recommend([[]])) == 0
    assert len(recommender.recommend([[3]], candidates=[])) == 0


def test_a_long_list_ends_with_the_catalogue(recommender):
    assert len(recommender.recommend([[3]], k=10**9)) == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "`k` 0: must be"),
        ({"k": 2.5}, "`k` 2.5: must be"),
        ({"fallback": "best"}, "`fallback` 'best' is unknown; choose one of none, popular"),
        ({"min_score": float("nan")}, "`min_score` nan"),
        ({"exclude": "sku"}, "`exclude` 'sku': give a list"),
        ({"exclude": [[1], [2]]}, "`exclude` has 2 lists for 1 sessions"),
    ],
)
def test_errors_name_the_parameter(options, message, recommender):
    with pytest.raises(InputError, match=message):
        recommender.recommend([[3]], **options)


def test_a_session_that_is_not_a_list_is_refused(recommender):
    with pytest.raises(InputError, match="`sessions`: session 0 is 'sku-7'"):
        recommender.recommend(["sku-7"])


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no finished day of a run"):
        Recommender.load(tmp_path)


def test_bfloat16_products_change_scores_a_little(recommender, finished_run):
    half = Recommender.load(finished_run, device="cpu", dtype="bfloat16").scores([[3, 7]])
    whole = recommender.scores([[3, 7]])
    assert 0 < np.abs(half[0, 1:] - whole[0, 1:]).max() < 0.1
    with pytest.raises(InputError, match="`dtype` 'int8'"):
        Recommender.load(finished_run, dtype="int8")
