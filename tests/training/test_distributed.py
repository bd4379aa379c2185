"""Two processes train and measure as one does with the doubled batch."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

MAIN = Path(__file__).parents[2] / "codes" / "recsys_main.py"


def numbers(folder):
    lines = (folder / "eval_results_dates.txt").read_text().splitlines()
    return [(name, float(value)) for name, equals, value in (line.partition(" = ") for line in lines) if equals]


def run(launcher, days, folder, *flags, batch_size):
    line = f"""
        --do_train --do_eval --data_path {days} --feature_config {days / "features.yaml"} --start_date 2019-10-01
        --end_date 2019-10-03 --model_type gru --d_model 16 --n_layer 1 --dropout 0 --learning_rate 0.01
        --num_train_epochs 2 --per_device_train_batch_size {batch_size} --save_steps 0 --report_to none --use_cpu
        --workers_count 0 --shuffle_buffer_size 100 --log_predictions --output_dir {folder}"""
    words = [sys.executable, *launcher, str(MAIN), *line.split(), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=120)


TWO = ["-m", "torch.distributed.launch", "--standalone", "--nproc_per_node", "2"]


def test_two_processes_equal_one_with_the_doubled_batch(toy_days, tmp_path):
    one = run([], toy_days, tmp_path / "one", batch_size=20)
    two = run(TWO, toy_days, tmp_path / "two", "--model_parallel", batch_size=10)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert [name for name, _ in numbers(tmp_path / "two")] == [name for name, _ in numbers(tmp_path / "one")]
    for (name, expected), (_, found) in zip(numbers(tmp_path / "one"), numbers(tmp_path / "two"), strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), name
    log = (tmp_path / "two" / "log.json").read_text()
    assert log.count('"PARAMETER"') == 1
    assert two.stderr.count("2019-10-02: training on") == 1
    rows = [
        sorted(zip(*table.select(["relevant_item_ids", "position", "length"]).to_pydict().values(), strict=True))
        for table in (
            pq.read_table(tmp_path / n / "pred_logs" / "preds_date_2019-10-02.parquet") for n in ("one", "two")
        )
    ]
    assert rows[0] == rows[1]


def test_an_error_of_the_user_is_told_once_and_ends_all(toy_days, tmp_path):
    (toy_days / "session_start_date=2019-10-02-train.parquet").unlink()
    done = run(TWO, toy_days, tmp_path / "out", batch_size=10)
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1 and "2019-10-02-train.parquet" in done.stderr
