import pytest

from transformers4recsys.comparison.pairs import pair

DAY = "2026-01-02"


def matched(make_run, first, second, **options):
    runs = [make_run(name, {DAY: targets}, **options) for name, targets in (("a", first), ("b", second))]
    return pair(*(run.predictions_of(DAY) for run in runs), ["ndcg@20"])


@pytest.mark.parametrize("ids", [(7, 8, 9), ("s7", "s8", "s9")])
def test_targets_of_the_same_session_and_position_are_matched_whatever_their_order(make_run, ids):
    first = [(ids[0], 1, 5, 3, 0.5), (ids[0], 2, 6, 3, 1.0), (ids[1], 1, 5, 2, 0.25)]
    second = [(ids[1], 1, 5, 2, 0.75), (ids[0], 2, 6, 3, 0.0), (ids[0], 1, 5, 3, 0.5)]
    pairs = matched(make_run, first, second)
    sums = zip(pairs.targets, pairs.first["ndcg@20"], pairs.second["ndcg@20"], strict=True)
    assert set(sums) == {(2, 1.5, 0.5), (1, 0.25, 0.75)}
    assert pairs.left_over == (0, 0) and pairs.other_labels == 0


def test_what_one_run_lacks_is_counted_and_left_out(make_run):
    first = [(1, 1, 5, 2, 0.5), (2, 1, 5, 2, 1.0), (3, 1, 5, 2, 1.0)]
    second = [(1, 1, 5, 2, 0.5), (4, 1, 5, 2, 1.0)]
    pairs = matched(make_run, first, second)
    assert pairs.left_over == (2, 1) and pairs.targets.tolist() == [1]


def test_targets_with_another_label_are_counted_and_left_out(make_run):
    pairs = matched(make_run, [(1, 1, 5, 2, 0.5), (2, 1, 5, 2, 0.5)], [(1, 1, 6, 2, 0.5), (2, 1, 5, 2, 0.5)])
    assert pairs.other_labels == 1 and pairs.targets.tolist() == [1]


def test_nothing_is_matched_without_sessions_or_with_one_named_twice(make_run):
    targets = [(1, 1, 5, 2, 0.5)]
    assert matched(make_run, targets, targets, sessions=False) is None


def test_a_session_that_is_there_twice_is_not_matched(make_run):
    targets = [(1, 1, 5, 2, 0.5), (1, 1, 5, 2, 0.5)]
    assert matched(make_run, targets, targets) is None
