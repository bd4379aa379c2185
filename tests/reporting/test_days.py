"""The numbers of all days, and their mean over days."""

import math

from transformers4recsys.reporting.days import DayBook, average_over_days


def test_mean_over_days_skips_days_without_data():
    days = [
        {"eval_loss": 4.0, "eval_recall@5": 0.25, "train_loss": 1.0},
        {"eval_loss": None, "eval_recall@5": None, "train_loss": 2.0},
        {"eval_loss": 1.0, "eval_recall@5": 0.5, "train_loss": None},
    ]
    assert average_over_days(days) == {"num_days": 2, "eval_loss": 2.5, "eval_recall@5": 0.375, "train_loss": 1.5}


def test_a_day_without_cold_labels_is_a_whole_day():
    days = [{"eval_loss": 4.0, "eval_cold_mrr@5": None}, {"eval_loss": 1.0, "eval_cold_mrr@5": 0.5}]
    assert average_over_days(days) == {"num_days": 2, "eval_loss": 2.5, "eval_cold_mrr@5": 0.5}


def test_a_number_no_day_has_stays_null():
    assert average_over_days([{"eval_loss": None}]) == {"num_days": 0, "eval_loss": None}
    assert average_over_days([]) == {"num_days": 0}


def test_a_loss_that_is_not_a_number_shows_in_the_mean():
    average = average_over_days([{"eval_loss": math.nan}, {"eval_loss": 1.0}])
    assert math.isnan(average["eval_loss"])


def test_the_mean_is_exact_over_many_days():
    assert average_over_days([{"eval_x": 0.1}] * 1000)["eval_x"] == 0.1


def test_a_day_done_again_replaces_itself_and_days_are_in_order():
    book = DayBook()
    book.record("2019-10-03", "eval", {"eval_loss": 3.0})
    book.record("2019-10-02", "eval", {"eval_loss": 2.0, "eval_old": 1.0})
    book.record("2019-10-02", "train", {"train_loss": 7.0})
    book.record("2019-10-02", "eval", {"eval_loss": 1.0})
    assert list(book.of_split("eval").items()) == [
        ("2019-10-02", {"eval_loss": 1.0}),
        ("2019-10-03", {"eval_loss": 3.0}),
    ]
    assert book.of_all_splits()["2019-10-02"] == {"eval_loss": 1.0, "train_loss": 7.0}


def test_days_of_a_model_without_a_loss_count():
    days = [{"eval_loss": None, "eval_mrr@5": 0.5}, {"eval_loss": None, "eval_mrr@5": None}]
    assert average_over_days(days) == {"num_days": 1, "eval_loss": None, "eval_mrr@5": 0.5}
