"""Two processes train and measure as one does with the doubled batch."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import yaml

from transformers4recsys.metrics.by_name import METRICS_BY_NAME
from transformers4recsys.model.encoders import ENCODERS

CODES = Path(__file__).parents[2] / "codes"
MAIN, IN_TURN = CODES / "recsys_main.py", Path(__file__).with_name("in_turn.py")
LAUNCHERS = {
    "launch": ["-m", "torch.distributed.launch", "--nproc_per_node", "2"],
    "torchrun": ["-m", "torch.distributed.run", "--nproc_per_node", "2"],
}
BIDIRECTIONAL = ("longformer", "bert", "albert", "electra", "roberta", "modernbert")
PARTLY_IN_SINGLE_PRECISION = ("xlnet", "reformer", "longformer", "mamba")
# Gradients that are nothing but rounding, which Adam makes steps of: softmax does not see what all keys share, and
# sinusoids of long waves are the same at all distances within a session.
OF_ROUNDING = ("attention.self.key.bias", "rel_attn.r")
LOSSES = (
    {"loss_type": "bpr_max", "negative_sampling": True},
    {"loss_type": "sampled_softmax", "num_sampled_negatives": 8},
    {"loss_type": "gbce", "num_sampled_negatives": 8},
    {"loss_type": "margin_hinge_a", "neg_rescale_factor": 1, "margin_loss": 0.1},
    {"loss_type": "cross_entropy_neg", "neg_rescale_factor": 1, "all_rescale_factor": 0},
)
# Gradients of item tables are exchanged by row, also where a process has nothing to predict.
SAMPLED = {"loss_type": "sampled_softmax", "num_sampled_negatives": 8, "gradient_accumulation_steps": 2}
BY_ROW = {
    "rows by AdamW": SAMPLED | {"sparse_item_updates": True, "max_grad_norm": 0.05},
    "rows by Adagrad": SAMPLED | {"item_optimizer": "rowwise_adagrad", "constrained_embeddings": True},
}
# Evaluation batches of 7 leave one process more of them; in training batches of 1 there may be nothing to predict.
SHARDED = {
    "gru": {"per_device_eval_batch_size": 7, "exclude_seen_in_evaluation": True},
    "accumulated": {"model_type": "gpt2", "gradient_accumulation_steps": 2, "validate_every": 1, "max_grad_norm": 0.05},
    "masked": {"model_type": "xlnet", "constrained_embeddings": True, "mlm": True, "train_on_last_item_seq_only": True},
    "bf16": {"model_type": "llama", "bf16": True},
    "sampled": {"loss_type": "gbce", "num_sampled_negatives": 4, "per_device_train_batch_size": 1},
    "reformer": {"model_type": "reformer", "mf_constrained_embeddings": True},
    "transfoxl": {"model_type": "transfoxl", "use_ohe_item_ids_inputs": True, "log_predictions": True},
}
# Item tables shared out, each run with another loss, optimizer or evaluation.
SHARED = {
    "full": {
        "label_smoothing_factor": 0.1,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 0.05,
        "exclude_seen_in_evaluation": True,
        "log_predictions": True,
        "per_device_eval_batch_size": 7,
    },
    "one table": {
        "model_type": "gpt2",
        "constrained_embeddings": True,
        "popularity_shift": True,
        "training_time_window_size": 3,
        "end_date": "2019-10-04",
        "metrics": '["coverage", "serendipity"]',
    },
    "cosine": {"score": "cosine", "temperature": 0.1, "session_aware": True, "baselines": '["rules"]'},
    "best weights": {
        "validate_every": 1,
        "early_stopping_patience": 1,
        "ema_decay": 0.9,
        "report_cold": True,
        "save_steps": 3,
    },
    "own negatives": {"loss_type": "gbce", "num_sampled_negatives": 8, "sparse_item_updates": True},
    "masked": SAMPLED | {"model_type": "bert", "mlm": True, "train_on_last_item_seq_only": True},
    "by Adagrad": BY_ROW["rows by Adagrad"],
}


def line(days: Path, folder: Path, *, batch_size: int, **flags: object) -> list[str]:
    """Write a training command of the toy days, without `train`; flags override or add."""
    settings: dict[str, object] = {
        "do_train": True,
        "do_eval": True,
        "data_path": days,
        "feature_config": days / "features.yaml",
        "start_date": "2019-10-01",
        "end_date": "2019-10-03",
        "model_type": "gru",
        "d_model": 16,
        "n_layer": 1,
        "n_head": 2,
        "dropout": 0,
        "learning_rate": 0.01,
        "num_train_epochs": 2,
        "per_device_train_batch_size": batch_size,
        "per_device_eval_batch_size": batch_size,
        "save_steps": 0,
        "report_to": "none",
        "workers_count": 0,
        "shuffle_buffer_size": 100,
        "output_dir": folder,
    } | flags
    return [word for key, value in settings.items() if value is not None for word in (f"--{key}", str(value))]


def describe_items(days: Path) -> None:
    """Write an item table of four categories, and vectors, which say how alike items are."""
    (days / "vocabulary").mkdir()
    ids = list(range(1, 31))
    categories = pa.table({"raw": ["a", "b", "c", "d"], "id": [1, 2, 3, 4]})
    pq.write_table(categories, days / "vocabulary" / "category.parquet")
    pq.write_table(pa.table({"raw": ids, "id": ids, "category": [*"abcd"] * 7 + ["a", "b"]}), days / "items.parquet")
    vectors = torch.randn(30, 4, generator=torch.Generator().manual_seed(1)).tolist()
    pq.write_table(pa.table({"id": ids, "vector": vectors}), days / "vectors.parquet")


def start(*words: object, folder: Path, timeout: int = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout)


def environment() -> dict[str, str]:
    """Give an environment without GPUs, and a port of its own to a launcher that is called as documented."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"CUDA_VISIBLE_DEVICES": "", "PET_MASTER_PORT": str(port)}
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CODES)} | own


def in_turn(launcher: list[str], commands: list[list[str]], folder: Path, *words: str, timeout: int = 120) -> None:
    (folder / "commands.json").write_text(json.dumps(commands))
    done = start(*launcher, IN_TURN, folder / "commands.json", *words, folder=folder, timeout=timeout)
    assert done.returncode == 0, done.stderr


def numbers(folder: Path) -> dict[tuple[str, str], float | None]:
    with (folder / "eval_train_results_dates.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        (row["index"], name): float(text) if text else None
        for row in rows
        for name, text in row.items()
        if name != "index"
    }


def rows_trained_on(folder: Path) -> Counter[str]:
    return Counter(row for file in folder.glob("rows_*.txt") for row in file.read_text().splitlines())


@pytest.mark.parametrize(
    ("launcher", "flags"),
    [
        # Adam does not see a gradient that is too small by a factor; plain descent does.
        ("launch", {"model_type": "gpt2", "optim": "sgd", "learning_rate": 0.5, "max_grad_norm": 0}),
        (
            "torchrun",
            {
                "validate_every": 1,
                "early_stopping_patience": 1,
                "baselines": '["rules", "vstan"]',
                "metrics": json.dumps(METRICS_BY_NAME),
                "diversity_columns": "category",
                "diversity_vectors": "days/vectors.parquet",
            },
        ),
    ],
)
def test_the_documented_launch_lines_equal_one_process_with_the_doubled_batch(
    launcher, flags, toy_days, tmp_path, write_day
):
    describe_items(toy_days)
    # Batches of 20 leave one row over: one process has it, the other one takes part with nothing.
    for day in ("2019-10-01", "2019-10-02"):
        write_day(day, "train", [[row % 30 + 1, (row + 1) % 30 + 1, row % 7 + 1] for row in range(61)])
    one, two = tmp_path / "one", tmp_path / "two"
    flags = {"log_predictions": True} | flags
    alone = start(MAIN, *line(toy_days, one, batch_size=20, **flags), folder=tmp_path)
    of_each = line(toy_days, two, batch_size=10, **flags)
    both = start(*LAUNCHERS[launcher], MAIN, *of_each, "--model_parallel", folder=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert both.returncode == 0, both.stderr
    # No training session has five items: what is measured on longer ones is null.
    nothing = {key for key, value in numbers(one).items() if value is None}
    assert {key for key, value in numbers(two).items() if value is None} == nothing
    found, expected = ({key: of[key] for key in of.keys() - nothing} for of in (numbers(two), numbers(one)))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    if "metrics" in flags:
        for name in ("coverage@10", "novelty@10", "intra_list_diversity@20", "category_diversity@20", "serendipity@10"):
            assert found["2019-10-02", f"eval_vstan_{name}"] > 0
    weights, expected = (safetensors.torch.load_file(folder / "model.safetensors") for folder in (two, one))
    assert weights.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-5, atol=1e-5)
    # Three batches of 20 rows and one of the row that is left over, two epochs, two days.
    assert [json.loads((folder / "progress.json").read_text())["num_steps"] for folder in (one, two)] == [16, 16]
    # Each file is written once: a line a step, a row a prediction.
    log = [(folder / "log.json").read_text().splitlines() for folder in (one, two)]
    assert [json.loads(entry.removeprefix("DLLL "))["step"] for entry in log[1]] == [
        json.loads(entry.removeprefix("DLLL "))["step"] for entry in log[0]
    ]
    assert {file.name for file in one.rglob("*")} == {file.name for file in two.rglob("*")}
    assert both.stderr.count("2019-10-02: training on") == 1
    rows = [
        sorted(zip(*table.select(["relevant_item_ids", "position", "length"]).to_pydict().values(), strict=True))
        for table in (pq.read_table(folder / "pred_logs" / "preds_date_2019-10-02.parquet") for folder in (one, two))
    ]
    assert rows[0] == rows[1]


def test_each_row_is_trained_on_once_an_epoch_whatever_the_days_hold(toy_days, tmp_path, write_day):
    # No multiple of the batch; fewer than processes; none at all.
    num_rows = {"2019-10-01": 7, "2019-10-02": 1, "2019-10-03": 0, "2019-10-04": 33}
    sessions = {
        day: [[i % 30 + 1, (i + 1) % 30 + 1, i // 30 + 1] for i in range(size)] for day, size in num_rows.items()
    }
    for day, rows in sessions.items():
        write_day(day, "train", rows)
        write_day(day, "valid", rows)
    write_day("2019-10-05", "valid", sessions["2019-10-04"])
    folders = {8: tmp_path / "one", 4: tmp_path / "two"}
    for launcher, size in (([], 8), (LAUNCHERS["torchrun"], 4)):
        flags = {"end_date": "2019-10-05", "num_train_epochs": 3, "report_cold": True}
        command = line(toy_days, folders[size], batch_size=size, **flags)
        in_turn(launcher, [command], tmp_path)
    trained = [json.dumps(row) for rows in sessions.values() for row in rows]
    for folder in folders.values():
        assert rows_trained_on(folder) == Counter(trained * 3)
    assert all((folders[4] / f"rows_{rank}.txt").exists() for rank in (0, 1))
    # Of the last day one process has a batch more, of one row.
    one, two = (numbers(folder) for folder in folders.values())
    assert two["2019-10-05", "eval_num_targets"] == 66
    one, two = ({key: of[key] for key in of if key[0] < "2019-10-05" and of[key] is not None} for of in (one, two))
    assert one["2019-10-04", "eval_cold_recall@1000"] == 1 and one["2019-10-04", "eval_recall@1000"] < 1
    assert two == pytest.approx(one, rel=1e-6, abs=1e-6)


def test_an_error_of_the_user_is_told_once_and_ends_all(toy_days, tmp_path):
    (toy_days / "session_start_date=2019-10-02-train.parquet").unlink()
    done = start(*LAUNCHERS["launch"], MAIN, *line(toy_days, tmp_path / "out", batch_size=10), folder=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1 and "2019-10-02-train.parquet" in done.stderr


@pytest.mark.slow
def test_two_machines_that_meet_at_an_address_equal_one_process(toy_days, tmp_path):
    """Stand in for two machines by two agents of torchrun, each with a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"--rdzv_backend=c10d --rdzv_endpoint=127.0.0.1:{free.getsockname()[1]} --rdzv_id=1"
    launcher = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", *meeting.split()]
    one, two = tmp_path / "one", tmp_path / "two"
    commands = [
        [*launcher, MAIN, *line(toy_days, two, batch_size=10)],
        [*launcher, MAIN, *line(toy_days, two, batch_size=10)],
        [MAIN, *line(toy_days, one, batch_size=20)],
    ]
    with ThreadPoolExecutor() as threads:
        for done in threads.map(lambda words: start(*words, folder=tmp_path), commands):
            assert done.returncode == 0, done.stderr
    assert numbers(two) == pytest.approx(numbers(one), rel=1e-6, abs=1e-6)
    assert (two / "log.json").read_text().count("PARAMETER") == 1


def test_each_process_drops_out_by_itself_and_a_resumed_run_as_one_that_never_stopped(toy_days, tmp_path):
    shared = {"batch_size": 10, "dropout": 0.5, "model_type": "gpt2", "loss_type": "gbce", "num_sampled_negatives": 8}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    commands = [
        line(toy_days, whole, **shared),
        line(toy_days, resumed, end_date="2019-10-02", **shared),
        line(toy_days, resumed, resume_from_checkpoint="true", **shared),
    ]
    in_turn(LAUNCHERS["torchrun"], commands, tmp_path)
    assert_same(resumed, whole)
    seeds = [(whole / f"seeds_{rank}.txt").read_text().split() for rank in range(2)]
    assert len({*seeds[0], *seeds[1]}) == 4


@pytest.mark.slow
def test_every_encoder_and_loss_ends_where_one_process_with_the_doubled_batch_does(toy_days, tmp_path):
    """In double precision where it can be: Adam takes a whole step for a gradient that is nothing but rounding."""
    with_negatives(toy_days)
    masked = {"mlm": True, "train_on_last_item_seq_only": True}
    runs = {name: {"model_type": name, **(masked if name in BIDIRECTIONAL else {})} for name in ENCODERS}
    in_double = {flags["loss_type"]: flags for flags in LOSSES} | BY_ROW
    in_double |= {name: flags for name, flags in runs.items() if name not in PARTLY_IN_SINGLE_PRECISION}
    in_single = {name: flags | {"learning_rate": 0.001} for name, flags in runs.items() if name not in in_double}
    in_double["accumulated"] = {"gradient_accumulation_steps": 2}
    for launcher, size in (([], 20), (LAUNCHERS["torchrun"], 10)):
        for runs, *precision in ((in_double, "double"), (in_single,)):
            commands = [line(toy_days, tmp_path / f"{name}_{size}", batch_size=size, **runs[name]) for name in runs]
            in_turn(launcher, commands, tmp_path, *precision, timeout=300)
    # Negatives that are the other sessions of the batch are those of a process.
    for name in [name for name in (*in_double, *in_single) if name != "bpr_max"]:
        assert_ends_alike(*(tmp_path / f"{name}_{size}" for size in (10, 20)), is_double=name in in_double)


def assert_ends_alike(folder: Path, expected: Path, *, is_double: bool) -> None:
    near = {"rtol": 1e-10, "atol": 1e-10} if is_double else {"rtol": 1e-5, "atol": 1e-5}
    assert numbers(folder) == pytest.approx(numbers(expected), rel=near["rtol"] / 10, abs=near["atol"] / 10)
    for file in ("model.safetensors", "training_state.safetensors") if is_double else ("model.safetensors",):
        of_each = [safetensors.torch.load_file(of / file) for of in (folder, expected)]
        assert any(value.dtype == torch.double for value in of_each[0].values()) == is_double
        if not is_double:
            of_each = [{key: of[key] for key in of if not key.endswith(OF_ROUNDING)} for of in of_each]
        torch.testing.assert_close(*of_each, **near, msg=lambda text: f"{folder.name}: {text}")


@pytest.mark.slow
def test_sharded_runs_end_where_whole_ones_do_and_go_on_as_either(toy_days, tmp_path):
    sharded = {"fsdp": "full_shard"}
    commands = [line(toy_days, tmp_path / f"{name}_whole", batch_size=10, **SHARDED[name]) for name in SHARDED]
    commands += [line(toy_days, tmp_path / name, batch_size=10, **SHARDED[name], **sharded) for name in SHARDED]
    in_turn(LAUNCHERS["torchrun"], commands, tmp_path, timeout=300)
    for name in SHARDED:
        assert_same(tmp_path / name, tmp_path / f"{name}_whole")
        for whole, part in zip(held_by_rank(tmp_path / f"{name}_whole"), held_by_rank(tmp_path / name), strict=True):
            # Rows are dealt out, and what has few of them is not dealt out evenly.
            assert part == pytest.approx(whole / 2, rel=0.1)

    commands = [line(toy_days, tmp_path / "first", batch_size=10, **SHARDED["gru"], **sharded, end_date="2019-10-02")]
    in_turn(LAUNCHERS["torchrun"], commands, tmp_path)
    for name, flags in (("goes on sharded", sharded), ("goes on whole", {})):
        shutil.copytree(tmp_path / "first", tmp_path / name)
        flags = SHARDED["gru"] | {"resume_from_checkpoint": "true"} | flags
        in_turn(LAUNCHERS["torchrun"], [line(toy_days, tmp_path / name, batch_size=10, **flags)], tmp_path)
        assert_same(tmp_path / name, tmp_path / "gru_whole")


@pytest.mark.slow
def test_tables_grow_alike_in_one_process_in_two_and_in_shards(toy_days, write_day, tmp_path):
    torchrun = LAUNCHERS["torchrun"]
    in_turn([], [line(toy_days, tmp_path / "first", batch_size=20, end_date="2019-10-02")], tmp_path)
    features = yaml.safe_load((toy_days / "features.yaml").read_text())
    features["item_id"]["cardinality"] = features["bef_item_id"]["cardinality"] = 41
    (toy_days / "features.yaml").write_text(yaml.safe_dump(features, sort_keys=False))
    for day, split in (("2019-10-02", "train"), ("2019-10-03", "valid")):
        write_day(day, split, [[35, 36, 3, 40]] * 20)
    courses = {"one": ([], 20, {}), "two": (torchrun, 10, {}), "shards": (torchrun, 10, {"fsdp": "full_shard"})}
    for name, (launcher, size, flags) in courses.items():
        shutil.copytree(tmp_path / "first", tmp_path / name)
        flags = flags | {"resume_from_checkpoint": "true"}
        in_turn(launcher, [line(toy_days, tmp_path / name, batch_size=size, **flags)], tmp_path)
    tables = [
        each for each in safetensors.torch.load_file(tmp_path / "one" / "model.safetensors").values() if each.ndim
    ]
    assert sum(len(table) == 41 for table in tables) >= 4
    for name in ("two", "shards"):
        assert_same(tmp_path / name, tmp_path / "one")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["one table", "by Adagrad"], id="some"),
        pytest.param([*SHARED], id="all", marks=pytest.mark.slow),
    ],
)
def test_processes_that_share_item_tables_out_end_where_one_does(names, toy_days, tmp_path, write_day):
    # Batches of 20 leave one row over: one process has it, the other one takes part with nothing.
    write_day("2019-10-01", "train", [[row % 30 + 1, (row + 1) % 30 + 1, row % 7 + 1] for row in range(61)])
    # What is popular changes, and stays so.
    for day in ("2019-10-02", "2019-10-03"):
        write_day(day, "train", [[5, 25, 5 + row % 2] for row in range(61)])
    for launcher, size, flags in (([], 20, {}), (LAUNCHERS["torchrun"], 10, {"shard_item_tables": True})):
        commands = [
            line(toy_days, tmp_path / f"{name}_{size}", batch_size=size, **SHARED[name], **flags) for name in names
        ]
        in_turn(launcher, commands, tmp_path, "double", timeout=300)
    for name in names:
        two, one = (tmp_path / f"{name}_{size}" for size in (10, 20))
        found, expected = ({key: value or 0.0 for key, value in numbers(folder).items()} for folder in (two, one))
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
        for file in ("model.safetensors", "training_state.safetensors"):
            of_each = [safetensors.torch.load_file(folder / file) for folder in (two, one)]
            torch.testing.assert_close(of_each[0], of_each[1], rtol=1e-10, atol=1e-10)
        grades = safetensors.torch.load_file(two / "model.safetensors").get("popularity_shift.grades")
        assert grades is None or grades.argmax() > 0, "something shifts"
        # Each process holds padding and 15 of 30 items, of weights and of what the optimizer keeps of them.
        width = sum(
            w.shape[1] for key, w in safetensors.torch.load_file(two / "model.safetensors").items() if of_items(key)
        )
        width_of_state = sum(w.shape[1] for key, w in of_each[0].items() if of_items(key) and w.dim())
        whole, whole_state = json.loads((one / "held_0.txt").read_text().splitlines()[-1])
        assert held_by_rank(two) == [whole - 15 * width, whole_state - 15 * width_of_state] * 2


@pytest.mark.slow
@pytest.mark.parametrize("flags", [SHARED["one table"], SHARED["by Adagrad"]], ids=["full", "sampled"])
def test_any_number_of_processes_goes_on_and_tables_grow_over_all(flags, toy_days, tmp_path, write_day):
    of_processes = {n: [] if n == 1 else ["-m", "torch.distributed.run", "--nproc_per_node", str(n)] for n in (1, 2, 3)}
    flags = flags | {"shard_item_tables": True}

    def run(name: str, num_processes: int, **others: object) -> None:
        # Three processes with batches of 4 are two with batches of 6.
        command = line(toy_days, tmp_path / name, batch_size=12 // num_processes, **flags | others)
        in_turn(of_processes[num_processes], [command], tmp_path, "double", timeout=300)

    for num_processes in (1, 2):
        run(f"begun by {num_processes}", num_processes, end_date="2019-10-02")
    features = toy_days / "features.yaml"
    features.write_text(features.read_text().replace("cardinality: 31", "cardinality: 41"))
    for split in ("train", "valid"):
        for day in ("2019-10-02", "2019-10-03"):
            write_day(day, split, [[35, 36, 35, 40]] * 20)
    ends = [(1, 1), (1, 3), (2, 1), (2, 2), (2, 3)]
    for before, after in ends:
        name = f"{before} then {after}"
        shutil.copytree(tmp_path / f"begun by {before}", tmp_path / name)
        run(name, after, resume_from_checkpoint="true")
        assert_ends_alike(tmp_path / name, tmp_path / "1 then 1", is_double=True)
    for num_processes in (1, 2, 3):
        run(f"{num_processes} from 2", num_processes, model_name_or_path=tmp_path / "begun by 2")
        assert_ends_alike(tmp_path / f"{num_processes} from 2", tmp_path / "1 from 2", is_double=True)
    state = safetensors.torch.load_file(tmp_path / "2 from 2" / "training_state.safetensors")
    assert len(state["optimizer/scorer.item_bias/" + ("sum" if "item_optimizer" in flags else "exp_avg")]) == 41


def test_no_process_ever_holds_a_whole_table_that_is_shared_out(toy_days, tmp_path):
    """Neither anew, nor going on or starting from another run with more items, until the last file is written."""
    flags = {
        "batch_size": 10,
        "per_device_eval_batch_size": 2,
        "loss_type": "sampled_softmax",
        "num_sampled_negatives": 8,
        "neg_sampling_store_size": 1000,
        "item_embedding_dim": 32,
        "d_model": 32,
        "shard_item_tables": True,
    }

    def assert_in_halves(num_items: int, runs: dict[Path, dict[str, object]]) -> None:
        features = (toy_days / "features.yaml").read_text()
        (toy_days / "features.yaml").write_text(re.sub(r"cardinality: \d+", f"cardinality: {num_items}", features))
        commands = [line(toy_days, folder, **flags | runs[folder]) for folder in runs]
        in_turn(LAUNCHERS["torchrun"], commands, tmp_path, "watched")
        for folder in runs:
            weights = safetensors.torch.load_file(folder / "model.safetensors")
            assert [weights[name].shape for name in weights if "table" in name] == [(num_items, 32)] * 2
            largest = [int((folder / f"largest_{rank}.txt").read_text()) for rank in range(2)]
            assert largest == pytest.approx([num_items * 32 * 4 / 2] * 2, rel=0.01)

    first, resumed, started = (tmp_path / name for name in ("first", "resumed", "started"))
    assert_in_halves(20_001, {first: {"end_date": "2019-10-02"}})
    shutil.copytree(first, resumed)
    grown = {resumed: {"resume_from_checkpoint": "true"}, started: {"model_name_or_path": first}}
    assert_in_halves(22_001, grown)


def of_items(name: str) -> bool:
    return any(part in name for part in ("table item_id.weight", "scorer.table", "scorer.item_bias"))


def assert_same(folder: Path, expected: Path) -> None:
    """Compare the numbers of all days, the last weights and the optimizer's last state."""
    assert numbers(folder) == pytest.approx(numbers(expected), rel=1e-5, abs=1e-5)
    weights, expected_weights = (safetensors.torch.load_file(each / "model.safetensors") for each in (folder, expected))
    assert_near(weights, expected_weights)
    states = [safetensors.torch.load_file(each / "training_state.safetensors") for each in (folder, expected)]
    assert_near(states[0], states[1])
    groups = [json.loads((each / "training_state.json").read_text())["optimizer"] for each in (folder, expected)]
    assert groups[0] == groups[1]


def assert_near(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Compare tensors, each by its size: moments of small gradients are small numbers."""
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        error, size = (torch.linalg.vector_norm(x) for x in (tensors[name].double() - value.double(), value.double()))
        assert error <= 1e-4 * size, name


def test_a_state_of_zeros_is_not_near_small_moments():
    moments = {"exp_avg": torch.tensor([3e-6, -4e-6])}
    assert_near({"exp_avg": moments["exp_avg"] * (1 + 5e-5)}, moments)
    for wrong in (torch.zeros(2), moments["exp_avg"] * 1.001):
        with pytest.raises(AssertionError, match="exp_avg"):
            assert_near({"exp_avg": wrong}, moments)


def held_by_rank(folder: Path) -> list[int]:
    """Give how many numbers of weights and of optimizer state each process held on the last day, rank after rank."""
    lines = [(folder / f"held_{rank}.txt").read_text().splitlines()[-1] for rank in range(2)]
    return [number for line in lines for number in json.loads(line)]


def with_negatives(days: Path) -> None:
    """Give each position of the day files two negative items."""
    for file in days.glob("*.parquet"):
        table = pq.read_table(file)
        negatives = [[item * 7 % 30 + 1 for item in row for _ in range(2)] for row in table["item_id"].to_pylist()]
        pq.write_table(table.append_column("_neg_item_id", [negatives]), file)
    features = "_neg_item_id: {dtype: categorical, cardinality: 31, emb_table: item_id}\n"
    with (days / "features.yaml").open("a") as file:
        file.write(features)
