"""Intervals that cover, tests that cry wolf no more often than they say."""

import math

import numpy as np
import pytest

from transformers4recsys.metrics.statistics import (
    DayPairs,
    effect_size,
    holm,
    interval_over_days,
    interval_over_sessions,
    p_over_days,
    p_over_sessions,
)


def day(differences, targets=None):
    differences = np.asarray(differences, dtype=float)
    return DayPairs(differences, np.ones(len(differences)) if targets is None else np.asarray(targets, dtype=float))


def test_the_difference_of_a_day_is_a_mean_over_targets():
    assert day([1.0, 0.5], targets=[3, 1]).mean == 1.5 / 4


def test_days_are_drawn_with_replacement_and_the_tails_are_student_s():
    # Normal data: the interval is that of Student, mean -+ t s / sqrt(n), with t = 2.093 for 20 days.
    values = np.random.default_rng(0).normal(0.3, 1, 20)
    interval = interval_over_days(values, np.random.default_rng(1), samples=100_000)
    half = 2.093 * values.std(ddof=1) / math.sqrt(20)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05)


def test_sessions_are_drawn_within_their_day():
    # A day of equal sessions does not vary, whatever the other day's level is.
    days = [day([1.0] * 5), day([-3.0] * 5)]
    interval = interval_over_sessions(days, np.random.default_rng(0))
    assert (interval.low, interval.high) == (-1, -1)


def test_many_sessions_give_the_interval_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    differences, targets = rng.normal(0, 1, 4_000), rng.integers(1, 4, 4_000)
    interval = interval_over_sessions([day(differences, targets)], rng, samples=50_000)
    mean = differences.sum() / targets.sum()
    error = math.sqrt(((differences - mean * targets) ** 2).sum()) / targets.sum()
    assert (interval.low, interval.high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=error / 20)


def test_signs_of_few_days_are_tried_whole():
    # Of the 8 assignments of signs to 1, 2, 3, the sums -6 and 6 alone are as far from 0 as 6.
    rng = np.random.default_rng(0)
    assert p_over_days([1, 2, 3], rng) == 2 / 8
    # As far as 2 = -1 + 3: sums are -6 -4 -2 0 0 2 4 6.
    assert p_over_days([-1, 0.0, 3], rng) == 1
    assert p_over_days([1, -2, 3], rng) == 6 / 8


def test_signs_of_many_days_are_drawn():
    values = np.random.default_rng(3).normal(0.3, 1, 60)
    normal = math.erfc(abs(values.sum()) / math.sqrt((values**2).sum()) / math.sqrt(2))
    assert p_over_days(values, np.random.default_rng(0)) == pytest.approx(normal, abs=0.01)
    assert p_over_days([1.0] * 60, np.random.default_rng(0)) == 1 / 20_001


def test_sessions_weigh_by_their_share_of_the_day():
    rng = np.random.default_rng(0)
    # One target each: three sessions, no assignment of signs but all-equal reaches the sum.
    assert p_over_sessions([day([1, 1, 1])], rng) == pytest.approx(2 / 8, abs=0.02)
    many = [day(rng.normal(0.1, 1, 800)), day(rng.normal(0.1, 1, 900))]
    shares = np.concatenate([many[0].differences / 800, many[1].differences / 900])
    z = shares.sum() / math.sqrt((shares**2).sum())
    assert p_over_sessions(many, rng) == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))


def test_no_difference_at_all_is_not_significant():
    zeros = [day([0.0] * 2_000)]
    assert p_over_sessions(zeros, np.random.default_rng(0)) == 1
    assert p_over_days([0.0] * 20, np.random.default_rng(0)) == 1
    assert effect_size(zeros) is None


def test_effect_size_is_the_mean_in_deviations():
    assert effect_size([day([2.0, 8.0], targets=[1, 2])]) == pytest.approx(3 / math.sqrt(2))


def test_holm_by_hand():
    # Sorted .01 .02 .03 .5 times 4 3 2 1, never less than one before.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    # 2 x .01, then 1 x .011, which may not be below the one before.
    assert holm([0.011, 0.01]) == pytest.approx([0.02, 0.02])
    assert holm([]) == []


def simulated(rng, difference, num_days, num_sessions=40):
    """Paired scores whose difference varies by day and by session, as heavy in one tail as those of rankings."""
    return [day(difference + rng.normal(0, 0.02) + rng.exponential(0.3, num_sessions) - 0.3) for _ in range(num_days)]


@pytest.mark.parametrize("num_days", [8, 30])
def test_intervals_over_days_cover_the_true_difference(num_days):
    rng, covered, tries = np.random.default_rng(num_days), 0, 1_000
    for _ in range(tries):
        differences = [each.mean for each in simulated(rng, 0.05, num_days)]
        interval = interval_over_days(differences, rng, samples=600)
        covered += interval.low <= 0.05 <= interval.high
    assert 0.93 <= covered / tries <= 0.97


def test_intervals_over_sessions_cover_the_true_difference_of_these_days():
    rng, covered, tries = np.random.default_rng(0), 0, 500
    for _ in range(tries):
        days = [day(level + 0.3 * rng.exponential(1, 150) - 0.3) for level in (0.02, 0.08, 0.05)]
        interval = interval_over_sessions(days, rng, samples=800)
        covered += interval.low <= 0.05 <= interval.high
    assert 0.93 <= covered / tries <= 0.97


def test_false_alarms_stay_below_the_stated_rate_after_correction():
    """Five comparisons without a difference: the share of tables with any p below .05 is at most .05."""
    rng, alarms, tries = np.random.default_rng(0), 0, 600
    for _ in range(tries):
        p_values = [p_over_days([each.mean for each in simulated(rng, 0, 10, 20)], rng) for _ in range(5)]
        alarms += min(holm(p_values)) < 0.05
    # Two standard deviations of a share of .05 in 600 tries are .018.
    assert alarms / tries <= 0.068
