"""From the log of users to leave-one-out metrics: preprocess writes the files, the main job trains and evaluates."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transformers4recsys.cli import main

TRAIN = (
    "train --data_path days --feature_config days/features_item_id.yaml --output_dir results --do_train --do_eval "
    "--start_date 2000-01-01 --end_date 2000-01-02 --eval_on_last_item_seq_only --session_seq_length_max 10 "
    "--model_type gpt2 --d_model 8 --n_layer 1 --n_head 1 --max_steps 2 --per_device_train_batch_size 8 "
    "--per_device_eval_batch_size 7 --report_to none --save_steps 0 --log_predictions --predict_top_k 5"
)


@pytest.mark.parametrize(("flags", "held_out"), [("", -2), ("--eval_on_test_set", -1)])
def test_each_user_is_one_target(flags, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    users = {user: [draw.randrange(100, 130) for _ in range(draw.randrange(4, 16))] for user in range(50, 80)}
    rows = [(user, order, item) for user, items in users.items() for order, item in enumerate(items)]
    log = pa.table(dict(zip(("user", "order", "item"), map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_table(log, "log.parquet")
    columns = "--item_column item --user_column user --order_column order --split leave_one_out --drop_repeats none"
    assert main(f"preprocess --input log.parquet --output days {columns} --session_length_max 10".split()) == 0
    assert main(f"{TRAIN} {flags}".split()) == 0
    raw = {row["id"]: row["raw"] for row in pq.read_table("days/vocabulary/item_id.parquet").to_pylist()}
    found = pq.read_table("results/pred_logs/preds_date_2000-01-02.parquet").to_pylist()
    labels = {row["metadata_user_id"]: raw[row["relevant_item_ids"][0]] for row in found}
    assert len(found) == len(users) and labels == {user: items[held_out] for user, items in users.items()}
    hits = [row["relevant_item_ids"][0] in row["rec_item_ids"] for row in found]
    (line,) = [line for line in open("results/eval_results_avg_over_days.txt") if line.startswith("eval_recall@5 ")]
    assert float(line.split("=")[1]) == pytest.approx(sum(hits) / len(hits), abs=1e-6)
