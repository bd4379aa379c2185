"""The promises of evaluation and of the day-after-day protocol, held on whole runs."""

import csv
import json
import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from transformers4recsys.training import incremental
from transformers4recsys.training.trainer import RecSysTrainer

MODELS = ("gpt2", "gru")


def results(folder):
    """{evaluation day: {name: number or None}}"""
    with (folder / "eval_train_results_dates.csv").open() as file:
        return {
            row.pop("index"): {name: float(text) if text else None for name, text in row.items()}
            for row in csv.DictReader(file)
        }


@pytest.mark.parametrize("model_type", MODELS)
def test_two_runs_with_one_seed_are_equal_to_the_bit(model_type, run_train):
    flags = {"model_type": model_type, "shuffle_buffer_size": 100, "dropout": 0.3}
    first, second = run_train("first", **flags), run_train("second", **flags)
    other = run_train("other", **flags, seed=43)
    assert results(first) == results(second) != results(other)
    weights = [safetensors.torch.load_file(folder / "model.safetensors") for folder in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("last_only", [False, True])
def test_metrics_equal_numpy_on_the_logged_predictions(model_type, last_only, run_train, toy_days):
    flags = {
        "model_type": model_type,
        "log_predictions": True,
        "predict_top_k": 30,
        "eval_on_last_item_seq_only": last_only,
    }
    folder = run_train(**flags)
    for day, numbers in results(folder).items():
        rows = pq.read_table(folder / "pred_logs" / f"preds_date_{day}.parquet").to_pydict()
        sessions = pq.read_table(toy_days / f"session_start_date={day}-valid.parquet")["item_id"].to_pylist()
        targets = [(s[:20], p) for s in sessions if len(s) > 1 for p in range(1, len(s[:20]))]
        targets = [(s, p) for s, p in targets if not last_only or p == len(s) - 1]
        assert [label for (label,) in rows["relevant_item_ids"]] == [session[position] for session, position in targets]
        labels = [session[position] for session, position in targets]
        ranks = np.array([ids.index(label) + 1 for ids, label in zip(rows["rec_item_ids"], labels, strict=True)])
        for k in (5, 10, 20):
            assert numbers[f"eval_recall@{k}"] == pytest.approx((ranks <= k).mean(), abs=1e-12)
            assert numbers[f"eval_mrr@{k}"] == pytest.approx(np.where(ranks <= k, 1 / ranks, 0).mean(), abs=1e-12)
            gain = np.where(ranks <= k, 1 / np.log2(1 + ranks), 0)
            assert numbers[f"eval_ndcg@{k}"] == pytest.approx(gain.mean(), abs=1e-12)
        assert numbers["eval_num_targets"] == len(ranks)
        scores = np.array(rows["rec_item_scores"])
        loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(ranks)), ranks - 1]
        assert numbers["eval_loss"] == pytest.approx(loss.mean(), rel=1e-5)


@pytest.mark.parametrize("model_type", MODELS)
def test_means_do_not_depend_on_the_batch_size(model_type, run_train):
    by_size = [
        results(
            run_train(
                f"by_{size}", model_type=model_type, per_device_eval_batch_size=size, eval_steps_on_train_set=1000
            )
        )
        for size in (1, 7, 64)
    ]
    for other in by_size[1:]:
        for day, numbers in by_size[0].items():
            # Scores may differ in their last bits between batch shapes; the toy has no ranks that close.
            assert other[day] == pytest.approx(numbers, rel=1e-5)


def test_a_model_learns_and_carries_over_to_the_next_day(run_train):
    # So few that a day of 60 sessions is not learned by heart.
    numbers = results(run_train(num_train_epochs=10, end_date="2019-10-04", similarity_type=None))
    assert list(numbers) == ["2019-10-02", "2019-10-03", "2019-10-04"]
    days = list(numbers.values())
    assert days[-1]["eval_recall@5"] > 0.6 > 2 * days[-1]["eval_most_popular_recall@5"]
    assert days[-1]["eval_loss"] < days[0]["eval_loss"]
    assert days[-1]["train_recall@5"] > 0.6


def test_a_run_that_is_resumed_equals_one_that_never_stopped(run_train):
    flags = {"dropout": 0.2, "shuffle_buffer_size": 10, "learning_rate_schedule": "linear_with_warmup"}
    whole = run_train("whole", end_date="2019-10-04", **flags)
    run_train("parts", end_date="2019-10-03", **flags)
    parts = run_train("parts", end_date="2019-10-04", resume_from_checkpoint="true", **flags)
    assert results(parts) == results(whole)


def test_a_run_goes_on_in_another_folder_but_not_over_another_run(run_train, capsys):
    whole, first = run_train("whole", end_date="2019-10-04"), run_train("first")
    moved = run_train("moved", end_date="2019-10-04", resume_from_checkpoint=first)
    assert results(moved)["2019-10-04"] == results(whole)["2019-10-04"]
    run_train("moved", exit_code=2, end_date="2019-10-04", resume_from_checkpoint=first)
    assert "--output_dir moved holds an earlier run" in " ".join(capsys.readouterr().err.split())


def test_the_window_takes_in_earlier_days(run_train, caplog):
    one, two = (
        run_train("one", end_date="2019-10-04"),
        run_train("two", end_date="2019-10-04", training_time_window_size=2),
    )
    assert results(one)["2019-10-02"] == results(two)["2019-10-02"]
    assert results(one)["2019-10-03"] != results(two)["2019-10-03"]


def test_how_often_a_run_opens_each_file(run_train, toy_days, opened_files):
    run_train(end_date="2019-10-03", eval_steps_on_train_set=1, per_device_eval_batch_size=8, validate_every=1)
    opened = {Path(path).name.removeprefix("session_start_date="): number for path, number in opened_files.items()}
    # To check a file; for each row group of 16 rows, to train or evaluate; for the first of a train file, to evaluate.
    trained, evaluated = 1 + 4 + 1, 1 + 2
    assert opened == {
        "2019-10-01-train.parquet": trained,
        "2019-10-02-valid.parquet": evaluated,
        "2019-10-02-train.parquet": trained,
        "2019-10-03-valid.parquet": evaluated,
    }


def test_labels_never_trained_on_are_misses_and_counted(run_train, write_day):
    write_day("2019-10-01", "train", [[1, 2, 3], [2, 3]])
    write_day("2019-10-02", "valid", [[1, 30], [2, 3]])
    numbers = results(run_train(end_date="2019-10-02"))["2019-10-02"]
    assert numbers["eval_unseen_label_share"] == 0.5
    assert numbers["eval_recall@1000"] == 0.5 and numbers["eval_most_popular_recall@1000"] == 0.5


def test_a_day_without_sessions_of_two_items_has_null_metrics_and_a_warning(run_train, write_day, monkeypatch):
    told = []
    monkeypatch.setattr(incremental.log, "warning", lambda text, *values: told.append(text % values))
    write_day("2019-10-02", "valid", [[4], [5], [6]])
    folder = run_train()
    assert told[-1] == "2019-10-02: no session of two or more items; the metrics are null"
    numbers = results(folder)
    assert numbers["2019-10-02"]["eval_recall@20"] is None and numbers["2019-10-02"]["eval_loss"] is None
    assert numbers["2019-10-02"]["train_recall@20"] is not None
    text = (folder / "eval_results_dates.txt").read_text()
    assert "eval_recall@20 = null" in text and "nan" not in text.lower()
    means = (folder / "eval_results_avg_over_days.txt").read_text()
    assert f"eval_recall@20 = {numbers['2019-10-03']['eval_recall@20']}" in means


def test_hours_run_as_days_do_across_midnight_and_go_on_after_a_stop(run_train, toy_days):
    hours = ["2019-10-01-22", "2019-10-01-23", "2019-10-02-00", "2019-10-02-01"]
    for number, hour in enumerate(hours, start=1):
        for split in ("train", "valid"):
            file = toy_days / f"session_start_date=2019-10-0{number}-{split}.parquet"
            file.rename(toy_days / f"session_start_date={hour}-{split}.parquet")
    flags = {"time_unit": "hour", "start_date": hours[0], "log_predictions": True, "dropout": 0.2}
    whole = run_train("whole", end_date=hours[3], **flags)
    assert list(results(whole)) == hours[1:]
    assert sorted(file.name for file in (whole / "pred_logs").iterdir()) == [
        f"preds_date_{hour}.parquet" for hour in hours[1:]
    ]
    steps = [json.loads(line.removeprefix("DLLL "))["step"] for line in (whole / "log.json").open()]
    assert steps == ["PARAMETER", *([hour] for hour in hours[1:] for _ in ("train", "eval")), []]
    run_train("parts", end_date=hours[1], **flags)
    parts = run_train("parts", end_date=hours[3], resume_from_checkpoint="true", **flags)
    assert results(parts) == results(whole)


def test_session_aware_runs_read_the_past(run_train):
    aware = results(run_train("aware", session_aware=True, num_train_epochs=2))
    based = results(run_train("based", num_train_epochs=2))
    assert aware["2019-10-03"]["eval_num_targets"] == based["2019-10-03"]["eval_num_targets"]
    assert aware["2019-10-03"]["eval_loss"] != based["2019-10-03"]["eval_loss"]


def test_attention_weights_are_written_for_each_evaluation_step(run_train):
    folder = run_train(model_type="gpt2", log_attention_weights=True, n_layer=2, end_date="2019-10-02")
    files = sorted((folder / "attention_weights").iterdir())
    assert len(files) == 2
    tensors = safetensors.torch.load_file(files[0])
    assert set(tensors) == {"inputs", "layer_0", "layer_1"}
    num_sessions, length = tensors["inputs"].shape
    assert tensors["layer_1"].shape == (num_sessions, 2, length, length)


def test_metrics_on_every_other_batch_count_their_targets_alone(run_train):
    every, other = run_train("every"), run_train("other", compute_metrics_each_n_steps=2)
    assert "compute_metrics_each_n_steps = 2" in (other / "eval_results_avg_over_days.txt").read_text()
    assert results(other)["2019-10-02"]["eval_num_targets"] < results(every)["2019-10-02"]["eval_num_targets"]


def test_validation_inside_a_day_and_a_profile(run_train, capsys):
    folder = run_train(validate_every=1, num_train_epochs=2, pyprof=True, pyprof_start_step=1, pyprof_stop_step=2)
    assert (folder / "profile" / "trace.json").stat().st_size > 1000
    assert "validation_recall@20" in (folder / "trainer_state.json").read_text()
    assert re.findall(r"epoch (\d): recall@20 0\.\d+", capsys.readouterr().err) == ["1", "2", "1", "2"]


def test_early_stopping_keeps_the_best_weights_of_the_day(run_train, capsys):
    flags = {"validate_every": 1, "num_train_epochs": 30, "learning_rate": 0.05, "best_metric": "mrr@5"}
    folder = run_train(**flags, early_stopping_patience=2, end_date="2019-10-02")
    told = capsys.readouterr().err
    found = re.findall(r"epoch (\d+): recall@5 0\.\d+, ndcg@5 0\.\d+, mrr@5 (0\.\d+)", told)
    values = [float(value) for _, value in found]
    best = values.index(max(values))
    assert len(values) == best + 3 < 30
    assert f"weights of epoch {best + 1}, mrr@5 {values[best]:.4f}" in told
    assert "`eval_on_test_set`" not in told and "--eval_on_test_set takes others" in " ".join(told.split())
    # The files that choose are evaluated here.
    assert results(folder)["2019-10-02"]["eval_mrr@5"] == pytest.approx(values[best], abs=1e-4)
    assert "early_stopping_patience = 2" in (folder / "eval_results_avg_over_days.txt").read_text()


@pytest.mark.parametrize(("patience", "epochs"), [(2, ["2", "3"]), (0, ["2"])])
def test_the_last_epoch_is_validated_where_the_best_one_is_kept(patience, epochs, run_train, capsys):
    flags = {"validate_every": 2, "early_stopping_patience": patience, "num_train_epochs": 3, "end_date": "2019-10-02"}
    run_train(**flags)
    assert re.findall(r"epoch (\d+): recall", capsys.readouterr().err) == epochs


def test_a_day_ends_with_the_averaged_weights_that_it_validated(run_train, capsys):
    flags = {"validate_every": 1, "num_train_epochs": 3, "learning_rate": 0.05, "end_date": "2019-10-02"}
    last, averaged = run_train("last", **flags), run_train("averaged", **flags, ema_decay=0.9)
    _, _, of_last, _, _, of_average = re.findall(r"epoch \d: .* ndcg@20 (0\.\d+)", capsys.readouterr().err)
    assert of_last != of_average
    for folder, value in ((last, of_last), (averaged, of_average)):
        assert results(folder)["2019-10-02"]["eval_ndcg@20"] == pytest.approx(float(value), abs=1e-4)


def test_each_day_has_an_average_of_its_own(run_train):
    flags = {"num_train_epochs": 2, "learning_rate": 0.05, "ema_decay": 0.9}
    at_once = run_train("at once", **flags)
    run_train("parts", **flags, end_date="2019-10-02")
    # A run that goes on knows nothing of the averages of earlier days.
    assert results(run_train("parts", **flags, resume_from_checkpoint="true")) == results(at_once)


def test_weights_are_chosen_on_valid_files_and_reported_on_test_files(run_train, toy_days, capsys):
    (toy_days / "session_start_date=2019-10-02-test.parquet").rename(toy_days / "kept")
    flags = {"validate_every": 1, "early_stopping_patience": 2, "end_date": "2019-10-02", "eval_on_test_set": True}
    run_train(exit_code=2, **flags)
    assert "2019-10-02-test.parquet" in capsys.readouterr().err
    (toy_days / "kept").rename(toy_days / "session_start_date=2019-10-02-test.parquet")
    run_train(**flags)
    assert "takes others" not in capsys.readouterr().err
    (toy_days / "session_start_date=2019-10-02-valid.parquet").unlink()
    run_train("without", exit_code=2, **flags)
    assert "2019-10-02-valid.parquet" in capsys.readouterr().err


def test_the_unit_of_a_numeric_column_does_not_matter(run_train, toy_days):
    prices = pq.read_table(toy_days / "session_start_date=2019-10-01-train.parquet")["price"].combine_chunks().values
    mean, std = np.mean(prices.to_numpy()), np.std(prices.to_numpy())

    def run_with(name, unit):
        for file in toy_days.glob("*.parquet"):
            table = pq.read_table(file)
            rows = [unit(np.array(row) / 10).tolist() for row in table["item_id"].to_pylist()]
            place = table.column_names.index("price")
            pq.write_table(table.set_column(place, "price", pa.array(rows, pa.list_(pa.float64()))), file)
        return results(run_train(name, num_train_epochs=3))["2019-10-03"]

    standardized = run_with("standardized", lambda price: (price - mean) / std)
    in_cents = run_with("in_cents", lambda price: 100 * price)
    assert in_cents == pytest.approx(standardized, rel=1e-3, abs=1e-3)
    weights = safetensors.torch.load_file(Path("in_cents", "model.safetensors"))
    assert weights["features.scale.mean_C"].item() == pytest.approx(100 * mean)
    assert weights["features.scale.std_C"].item() == pytest.approx(100 * std)


def test_the_learning_rate_starts_anew_each_day(run_train, monkeypatch):
    rates = []
    step = RecSysTrainer.training_step

    def noting(self, *arguments):
        rates.append((self.state.global_step, self.optimizer.param_groups[0]["lr"]))
        return step(self, *arguments)

    monkeypatch.setattr(RecSysTrainer, "training_step", noting)
    run_train(learning_rate_schedule="linear_with_warmup", learning_rate=0.5, dataloader_drop_last=True)
    days = [rates[: len(rates) // 2], rates[len(rates) // 2 :]]
    # Three steps a day, along a line to 0.
    assert days[0] == days[1] == [(number, pytest.approx(0.5 * (1 - number / 3))) for number in range(3)]


def test_each_hour_has_random_numbers_of_its_own():
    run = SimpleNamespace(trainer=SimpleNamespace(args=SimpleNamespace(seed=1)))
    drawn = []
    for hour in (
        datetime(2019, 10, 1, 3),
        datetime(2019, 10, 1, 4),
        datetime(2019, 10, 2, 3),
        datetime(2019, 10, 1, 3),
    ):
        incremental.Incremental._seed(run, hour)
        drawn.append(torch.rand(1).item())
    assert len(set(drawn)) == 3 and drawn[0] == drawn[3]


def test_items_are_counted_once_a_day_whatever_the_window(run_train, toy_days):
    folder = run_train(training_time_window_size=2)
    expected = np.zeros(31, dtype=int)
    for day in ("2019-10-01", "2019-10-02"):
        for session in pq.read_table(toy_days / f"session_start_date={day}-train.parquet")["item_id"].to_pylist():
            if len(session) > 1:
                np.add.at(expected, session, 1)
    counts = safetensors.torch.load_file(folder / "model.safetensors")["item_counts"]
    assert counts.tolist() == expected.tolist()
