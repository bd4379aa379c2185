import numpy as np
import pytest

from transformers4recsys.comparison.contents import compare

DAYS = [f"2026-01-{day:02}" for day in range(2, 10)]


def targets_of(values, first_session=0):
    return [(first_session + n, 1, 5, 2, value) for n, value in enumerate(values)]


def test_means_curves_and_differences_by_hand(make_run):
    first = make_run("a", {"2026-01-02": targets_of([0.0, 0.5]), "2026-01-03": targets_of([1.0])})
    second = make_run("b", {"2026-01-02": targets_of([1.0, 0.5]), "2026-01-03": targets_of([0.5])})
    found = compare([first, second], ["ndcg@20"])
    assert found.days == ["2026-01-02", "2026-01-03"]
    assert found.curves == {"a": {"ndcg@20": [0.25, 1.0]}, "b": {"ndcg@20": [0.75, 0.5]}}
    assert found.means == {"a": {"ndcg@20": 0.625}, "b": {"ndcg@20": 0.625}}
    (each,) = found.differences
    # Days differ by .5 and -.5; sessions by 1, 0 and -.5, whose mean is 1/6 and deviation .764.
    assert each.mean == 0 and each.relative == 0 and (each.days, each.sessions) == (2, 3)
    assert each.effect_size == pytest.approx((1 / 6) / 0.7638, rel=1e-3)
    # Two days say nothing of other days.
    assert each.over_days is None and each.tested == "sessions" and each.p == each.p_holm
    assert found.doubts == []


def test_a_clear_difference_is_found_and_corrected_for_the_number_of_runs(make_run):
    rng = np.random.default_rng(0)
    base = {day: rng.random(50) for day in DAYS}
    first = make_run("a", {day: targets_of(values) for day, values in base.items()})
    better = make_run("b", {day: targets_of(values + 0.05 + rng.normal(0, 0.05, 50)) for day, values in base.items()})
    alike = make_run("c", {day: targets_of(values + rng.normal(0, 0.05, 50)) for day, values in base.items()})
    by_run = {each.run: each for each in compare([first, better, alike], ["ndcg@20"]).differences}
    assert by_run["b"].over_days.low > 0.03 and by_run["b"].over_sessions.low > 0.03
    # The least p-value of eight days is 2 / 2^8, twice that for two comparisons.
    assert by_run["b"].tested == "days" and by_run["b"].p == 2 / 256 and by_run["b"].p_holm == 4 / 256
    assert by_run["c"].over_days.low < 0 < by_run["c"].over_days.high and by_run["c"].p_holm > 0.05


def test_without_sessions_days_are_compared_whole_and_that_is_said(make_run):
    runs = [make_run(name, {DAYS[0]: targets_of([0.5, 1.0])}, sessions=False) for name in ("a", "b")]
    found = compare(runs, ["ndcg@20"])
    (each,) = found.differences
    assert each.mean == 0 and each.sessions == 0 and each.p is None and each.over_sessions is None
    assert "sessions cannot be matched on 1 day" in found.doubts[0]


def test_a_day_without_targets_is_no_doubt(make_run):
    days = {DAYS[0]: targets_of([0.5, 1.0]), DAYS[1]: []}
    found = compare([make_run("a", days), make_run("b", days)], ["ndcg@20"])
    (each,) = found.differences
    assert (each.days, each.sessions) == (1, 2) and found.doubts == []


def test_what_makes_runs_incomparable_is_said(make_run):
    first = make_run(
        "a", {DAYS[0]: targets_of([0.5]), DAYS[1]: targets_of([0.5])}, settings={"eval_on_test_set": False}
    )
    second = make_run("b", {DAYS[1]: targets_of([0.5, 1.0])}, settings={"eval_on_test_set": True})
    doubts = compare([first, second], ["ndcg@20"]).doubts
    assert "a was evaluated on 1 more day than all runs have in common" in doubts
    assert "the runs differ in eval_on_test_set: a False, b True" in doubts
    assert "b and a have other numbers of targets on 1 day" in doubts
    assert "1 target of b could not be matched with a" in doubts


def test_the_settings_that_differ_are_listed_and_places_are_not(make_run):
    first = make_run("a", {DAYS[0]: targets_of([0.5])}, settings={"d_model": 8, "output_dir": "x", "seed": 1})
    second = make_run("b", {DAYS[0]: targets_of([0.5])}, settings={"d_model": 16, "output_dir": "y", "seed": 1})
    settings = compare([first, second], ["ndcg@20"]).settings
    assert settings == [{"name": "model_type", "values": ["a", "b"]}, {"name": "d_model", "values": [8, 16]}]


def test_a_baseline_that_all_runs_share_is_shown_once(make_run):
    day = {DAYS[0]: targets_of([0.5])}
    shared = [make_run(name, day, extra={"eval_most_popular_ndcg@20": 0.1}) for name in ("a", "b")]
    assert compare(shared, ["ndcg@20"]).means["most popular"] == {"ndcg@20": 0.1}
    other = make_run("c", day, extra={"eval_most_popular_ndcg@20": 0.2})
    assert {"a: most popular", "c: most popular"} <= set(compare([shared[0], other], ["ndcg@20"]).means)
