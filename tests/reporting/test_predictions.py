"""Predictions in parquet: every value as it was, and a file only when the day has ended."""

import dataclasses

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.outputs import Predictions, Report
from transformers4recsys.reporting import predictions as module
from transformers4recsys.reporting.predictions import PredictionFiles, as_table, raw_item_ids

DAY = "2019-10-02"
ENDS_DAY = Report(DAY, "eval", {"eval_loss": 1.0})


def predictions_of(first_label: int, count: int = 2, dtype=torch.float32) -> Predictions:
    labels = torch.arange(first_label, first_label + count)
    return Predictions(
        labels=labels,
        item_ids=labels[:, None] * 10 + torch.tensor([3, 1, 2]),
        scores=labels[:, None] + torch.tensor([0.75, 0.5, 0.25], dtype=dtype),
        positions=labels % 4,
        lengths=labels % 4 + 1,
        metrics={"ndcg@5": labels.double() / 7},
        metadata={"session_id": labels + 2**60, "price": labels.float() / 2},
    )


def test_a_row_a_prediction():
    assert as_table(predictions_of(5)).to_pylist() == [
        {
            "relevant_item_ids": [label],
            "rec_item_ids": [label * 10 + 3, label * 10 + 1, label * 10 + 2],
            "rec_item_scores": [label + 0.75, label + 0.5, label + 0.25],
            "position": label % 4,
            "length": label % 4 + 1,
            "metadata_session_id": label + 2**60,
            "metadata_price": label / 2,
            "metric_ndcg@5": label / 7,
        }
        for label in (5, 6)
    ]


def test_metadata_of_text_is_written_as_text():
    names = {label + 2**60: f"visit {label}" for label in (6, 5)}
    texts = {"session_id": lambda numbers: pa.array([names[number] for number in numbers.tolist()])}
    assert as_table(predictions_of(5), texts=texts)["metadata_session_id"].to_pylist() == ["visit 5", "visit 6"]


def test_half_precision_scores_are_written_as_float32():
    scores = as_table(predictions_of(1, dtype=torch.bfloat16))["rec_item_scores"]
    assert str(scores.type.value_type) == "float"
    assert scores.to_pylist() == [[1.75, 1.5, 1.25], [2.75, 2.5, 2.25]]


def test_the_file_is_there_when_the_day_has_ended_and_not_before(tmp_path):
    files = PredictionFiles(tmp_path)
    files.predictions(predictions_of(1), DAY)
    files.predictions(predictions_of(3), DAY)
    files.numbers(Report(DAY, "train", {}))
    path = tmp_path / "pred_logs" / "preds_date_2019-10-02.parquet"
    assert not path.exists()
    files.numbers(ENDS_DAY)
    files.close()
    assert [path.name for path in (tmp_path / "pred_logs").iterdir()] == ["preds_date_2019-10-02.parquet"]
    assert pd.read_parquet(path)["metadata_session_id"].tolist() == [2**60 + label for label in (1, 2, 3, 4)]


def test_rows_are_written_in_groups_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 3 * as_table(predictions_of(1)).nbytes)
    files = PredictionFiles(tmp_path)
    for label in range(1, 11, 2):
        files.predictions(predictions_of(label), DAY)
    files.numbers(ENDS_DAY)
    file = pq.ParquetFile(tmp_path / "pred_logs" / "preds_date_2019-10-02.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [6, 4]
    assert file.read()["relevant_item_ids"].to_pylist() == [[label] for label in range(1, 11)]


def test_a_day_done_again_replaces_its_file_and_what_a_kill_left(tmp_path):
    killed = PredictionFiles(tmp_path)
    killed.predictions(predictions_of(1), DAY)
    for label in (5, 7):
        files = PredictionFiles(tmp_path)
        files.predictions(predictions_of(label), DAY)
        files.numbers(ENDS_DAY)
    (path,) = (tmp_path / "pred_logs").iterdir()
    assert pq.read_table(path)["relevant_item_ids"].to_pylist() == [[7], [8]]


def test_without_predictions_there_is_no_folder(tmp_path):
    files = PredictionFiles(tmp_path)
    files.start({})
    files.numbers(ENDS_DAY)
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_days_do_not_mix(tmp_path):
    files = PredictionFiles(tmp_path)
    files.predictions(predictions_of(1), DAY)
    with pytest.raises(AssertionError, match="has not ended"):
        files.predictions(predictions_of(3), "2019-10-03")
    with pytest.raises(AssertionError, match="no eval numbers"):
        files.close()


def test_raw_ids_stand_beside_ids(tmp_path):
    (tmp_path / "vocabulary").mkdir()
    # In any order; the id 2 belongs to no item, 4 to a missing value, and 5 to an item that has not come yet.
    vocabulary = pa.table({"raw": ["sku-3", "sku-1", None], "id": [3, 1, 4]})
    pq.write_table(vocabulary, tmp_path / "vocabulary" / "item_id.parquet")
    raw_ids = raw_item_ids(str(tmp_path), "item_id")
    assert raw_ids.to_pylist() == [None, "sku-1", None, "sku-3", None]
    ids = torch.tensor([[3, 1], [2, 5]])
    predictions = dataclasses.replace(predictions_of(2), labels=torch.tensor([1, 3]), item_ids=ids)
    rows = as_table(predictions, raw_ids)
    assert rows["relevant_raw_item_ids"].to_pylist() == [["sku-1"], ["sku-3"]]
    assert rows["rec_raw_item_ids"].to_pylist() == [["sku-3", "sku-1"], [None, None]]


def test_raw_ids_need_a_vocabulary(tmp_path):
    with pytest.raises(InputError, match="item_id.parquet cannot be read.*preprocess"):
        raw_item_ids(str(tmp_path), "item_id")
