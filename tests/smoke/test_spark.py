"""The documented command line on Spark, as typed, and training on the days that it writes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark.sql", reason="pyspark is not installed: pip install '.[spark]'")
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not shutil.which("java"), reason="Java, which Spark runs on, is not installed"),
]
ROOT = Path(__file__).parents[2]
[PREPROCESS] = re.findall("^transformers4recsys preprocess .*$", (ROOT / "docs/preprocessing.md").read_text(), re.M)
TRAIN = """transformers4recsys train --data_path days --feature_config days/features.yaml --output_dir results
    --start_date 2019-10-01 --end_date 2019-10-02 --do_train --do_eval --num_train_epochs 1 --model_type gpt2
    --d_model 16 --n_layer 1 --n_head 2 --per_device_train_batch_size 64"""


def test_days_of_the_documented_command_are_trained_on(tmp_path):
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "PYTHONPATH": str(ROOT / "codes"), "HF_HUB_OFFLINE": "1"}

    def run(line):
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    run("transformers4recsys simulate --output logs --days 2 --sessions_per_day 300 --items 200")
    # The made-up shop logs parquet.
    run(PREPROCESS.replace("rees46", "ecommerce-large").replace("local[8]", "local[2]"))
    assert (tmp_path / "days/session_start_date=2019-10-01-train.parquet/_SUCCESS").exists()
    run(" ".join(TRAIN.split()))
    dates = (tmp_path / "results/eval_results_dates.txt").read_text()
    assert "2019-10-02" in dates and "eval_ndcg@10" in dates
