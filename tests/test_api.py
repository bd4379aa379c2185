"""The commands as Python functions: tables as well as paths, and what comes back."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from transformers4recsys import Recommender, preprocess, train
from transformers4recsys.errors import InputError

SMALL = {"model_type": "gru", "d_model": 8, "n_layer": 1, "report_to": "none", "use_cpu": True}
LOG = pa.table(
    {
        "visit": ["a", "a", "b", "b", "c", "c"],
        "sku": ["x", "y", "y", "z", "z", "x"],
        "time": [f"2024-01-0{day} 10:00:0{second}" for day, second in ((1, 0), (1, 1), (1, 0), (1, 5), (2, 1), (2, 2))],
    }
)
COLUMNS = {"item_column": "sku", "time_column": "time", "session_column": "visit"}


def test_a_table_of_events_becomes_day_files(tmp_path):
    days = preprocess(LOG.to_pandas(), tmp_path / "days", **COLUMNS)
    assert days.select(["day", "events", "sessions"]).to_pylist() == [
        {"day": "2024-01-01", "events": 4, "sessions": 2},
        {"day": "2024-01-02", "events": 2, "sessions": 1},
    ]
    assert (tmp_path / "days" / "session_start_date=2024-01-02-train.parquet").exists()


def test_tables_and_paths_give_the_same(tmp_path):
    pq.write_table(LOG[:3], tmp_path / "first.parquet")
    preprocess([str(tmp_path / "first.parquet"), LOG[3:]], tmp_path / "parts", **COLUMNS)
    preprocess(LOG, tmp_path / "whole", **COLUMNS)
    name = "session_start_date=2024-01-01-train.parquet"
    assert pq.read_table(tmp_path / "parts" / name).equals(pq.read_table(tmp_path / "whole" / name))


def test_errors_name_the_parameter(tmp_path):
    with pytest.raises(InputError, match="item_column"):
        preprocess(LOG, tmp_path / "days", time_column="time", session_column="visit")
    with pytest.raises(InputError, match="`d_modle`|'d_modle'"):
        train(tmp_path, tmp_path / "out", d_modle=3)


def test_training_gives_a_recommender(toy_days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recommender = train(toy_days, "out", **SMALL)
    assert isinstance(recommender, Recommender)
    assert recommender.last_day == "2019-10-03"
    assert recommender.results.column("index").to_pylist() == ["2019-10-02", "2019-10-03", "2019-10-04"]
    assert recommender.recommend([[3]], k=2).num_rows == 2


def test_tables_of_days_are_trained_on(toy_days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = train(toy_days, "paths", end_date="2019-10-03", **SMALL)
    tables = {
        day: {
            split: pq.read_table(toy_days / f"session_start_date={day}-{split}.parquet") for split in ("train", "valid")
        }
        for day in ("2019-10-01", "2019-10-02", "2019-10-03")
    }
    config = yaml.safe_load((toy_days / "features.yaml").read_text())
    found = train(tables, "tables", feature_config=config, **SMALL)
    assert found.recommend([[3, 4]]).equals(whole.recommend([[3, 4]]))


def test_predictions_name_sessions_as_the_log_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(day, visit, second) for day in (1, 2, 3) for visit in range(12) for second in (0, 1)]
    log = pa.table(
        {
            "visit": [f"{day}é{visit}" for day, visit, _ in rows],
            "sku": [f"p{(visit + second) % 5}" for _, visit, second in rows],
            "time": [f"2024-01-0{day} 10:00:0{second}" for day, _, second in rows],
        }
    )
    preprocess(log, "days", **COLUMNS)
    train("days", "out", end_date="2024-01-02", **SMALL)
    train("days", "out", resume_from_checkpoint="true", log_predictions=True, log_raw_item_ids=True, **SMALL)
    predictions = pq.read_table("out/pred_logs/preds_date_2024-01-03.parquet")
    written = pq.read_table("days/session_start_date=2024-01-03-valid.parquet")
    assert predictions["metadata_session_id"].to_pylist() == written["session_id"].to_pylist()
    expected = [f"p{(int(name.split('é')[1]) + 1) % 5}" for name in written["session_id"].to_pylist()]
    assert [raw for (raw,) in predictions["relevant_raw_item_ids"].to_pylist()] == expected


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="`data_path`: 2024-01-01 has 7; give a table"):
        train({"2024-01-01": 7}, tmp_path / "out")
    with pytest.raises(InputError, match="has a split 'dev'"):
        train({"2024-01-01": {"dev": LOG}}, tmp_path / "out")
