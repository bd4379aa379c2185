"""A run goes on with a new day in one step, or stays as it was."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from transformers4recsys import Recommender, cli
from transformers4recsys.errors import InputError
from transformers4recsys.model.content import ItemData
from transformers4recsys.reporting.output_folder import claimed
from transformers4recsys.run_folder import RunFolder
from transformers4recsys.training.inside_day import StopRequest
from transformers4recsys.training.trainer import RecSysTrainer

KILLS = Path(__file__).with_name("update_kills.py")
CODES = Path(__file__).parents[2] / "codes"
RECIPE = {"item_column": "item", "time_column": "time", "session_column": "visit", "user_column": "user"}
TRAIN = {
    **{"model_type": "gru", "d_model": 8, "n_layer": 1, "dropout": 0.2, "learning_rate": 0.01, "report_to": "none"},
    **{"per_device_train_batch_size": 16, "per_device_eval_batch_size": 64, "shuffle_buffer_size": 100},
    **{"do_train": True, "do_eval": True, "save_steps": 0, "use_cpu": True, "workers_count": 0},
}


def write_log(path, day, items, *, num_sessions=30, hours=None):
    """Write the raw events of a day: three clicks a session among these items, each mostly followed by the next."""
    generator = np.random.default_rng(int(day.replace("-", "")))
    rows = []
    for number in range(num_sessions):
        hour = int(hours[number % len(hours)]) if hours else number % 20
        start = datetime.fromisoformat(day) + timedelta(hours=hour, seconds=number)
        first = int(generator.integers(len(items)))
        for place in range(3):
            item = items[(first + place) % len(items)]
            row = {"item": item, "time": start + timedelta(minutes=place), "visit": f"{day}/{number}"}
            rows.append(row | {"user": number % 7})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def named(first, last):
    return [f"sku-{number}" for number in range(first, last)]


def command(name, *, exit_code=0, **flags):
    line = []
    for key, value in flags.items():
        line += [f"--{key}", *([str(each) for each in value] if isinstance(value, list) else [str(value)])]
    assert cli.main([name, *line]) == exit_code


def trained(folder, logs, *, recipe=None, **flags):
    command("preprocess", input=logs, output=folder / "days", **{**RECIPE, **(recipe or {})})
    config = folder / "days" / "features.yaml"
    values = {"data_path": folder / "days", "feature_config": config, "output_dir": folder / "run", **TRAIN, **flags}
    command("train", **values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run over three days, made once: its folder, `run`, beside the days, `days`."""
    folder = tmp_path_factory.mktemp("shop")
    logs = [write_log(folder / "logs" / f"{day}.parquet", f"2024-01-0{day}", named(0, 12)) for day in (1, 2, 3)]
    trained(folder, logs, start_date="2024-01-01", end_date="2024-01-03")
    return folder


@pytest.fixture
def shop(finished, tmp_path, monkeypatch):
    """A copy of that run and its days to change."""
    shutil.copytree(finished, tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    # What it was trained on is found where it was, or by `data_path`.
    return tmp_path / "shop"


def tensors_of(folder):
    names = ("model.safetensors", "training_state.safetensors")
    return {key: value for name in names for key, value in safetensors.torch.load_file(folder / name).items()}


def are_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def contents_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers_of(folder):
    return (folder / "eval_train_results_dates.csv").read_text()


def test_it_gives_what_preprocess_and_train_give(shop):
    new = write_log(shop / "new.parquet", "2024-01-04", named(6, 15))
    command("update", run="run", input=new)

    command("preprocess", input=new, output="days", **RECIPE)
    shutil.copytree(shop / "run", shop / "by_hand", ignore=shutil.ignore_patterns("updates"))
    for path in (shop / "run" / "updates" / "models" / "2024-01-02").rglob("*"):
        if path.is_file():
            shutil.copy2(path, shop / "by_hand" / path.relative_to(shop / "run" / "updates" / "models" / "2024-01-02"))
    values = {"data_path": "days", "feature_config": "days/features.yaml", "output_dir": "by_hand", **TRAIN}
    days = {"start_date": "2024-01-01", "end_date": "2024-01-04", "train_on_last_day": True}
    command("train", **values, **days, resume_from_checkpoint="true")

    assert are_equal(tensors_of(shop / "run"), tensors_of(shop / "by_hand"))
    assert numbers_of(shop / "run") == numbers_of(shop / "by_hand")
    assert "2024-01-04" in numbers_of(shop / "run")
    run = RunFolder.open("run")
    assert run.day_name == "2024-01-04" and run.progress.awaits_evaluation
    assert run.vocabularies["item_id"].num_rows == 15
    assert run.settings["given"]["start_date"] == "2024-01-01"
    assert run.settings["data"]["data_path"] == str((shop / "run" / "updates" / "days").resolve())
    assert Recommender.load("run").recommend([["sku-13"]], k=3).num_rows == 3


def test_a_day_that_is_not_behind_the_last_changes_nothing_and_says_so(shop, capsys):
    new = write_log(shop / "new.parquet", "2024-01-04", named(0, 12))
    command("update", run="run", input=new)
    assert "now train" not in capsys.readouterr().err
    before = contents_of(shop / "run")
    earlier = write_log(shop / "earlier.parquet", "2023-12-31", named(0, 12))
    for log in (new, earlier):
        command("update", run="run", input=log)
        said = " ".join(capsys.readouterr().err.split())
        assert "nothing new: of 90 events, 90 of days up to the last one written; the last one is 2024-01-04" in said
        assert "nothing to do: run has been trained on 2024-01-04" in said
    assert contents_of(shop / "run") == before


def test_days_come_one_after_the_other_and_the_folder_of_the_first_days_is_needed_no_more(shop, finished):
    logs = [write_log(shop / f"{day}.parquet", f"2024-01-0{day}", named(day, 12 + day)) for day in (4, 5)]
    command("update", run="run", input=logs[0], data_path=shop / "days")
    (finished / "days").rename(finished / "elsewhere")
    try:
        command("update", run="run", input=logs[1])
    finally:
        (finished / "elsewhere").rename(finished / "days")
    run = RunFolder.open("run")
    assert run.day_name == "2024-01-05" and [day["day"][:10] for day in run.progress.days][-1] == "2024-01-05"
    assert numbers_of(shop / "run").count("\n2024-01-0") == 4
    # A fresh user has no history in the run, and those of the days before have one.
    rows = pq.read_table(shop / "run/updates/days/session_start_date=2024-01-05-train.parquet")
    assert max(len(items) for items in rows["bef_item_id"].to_pylist()) > 10


def test_several_days_at_once_equal_one_after_the_other(shop):
    logs = [write_log(shop / "new" / f"{day}.parquet", f"2024-01-0{day}", named(0, 12)) for day in (4, 5)]
    shutil.copytree("run", "one_by_one")
    command("update", run="run", input="new")
    for log in logs:
        command("update", run="one_by_one", input=log)
    assert are_equal(tensors_of(shop / "run"), tensors_of(shop / "one_by_one"))
    assert numbers_of(shop / "run") == numbers_of(shop / "one_by_one")


def test_where_it_fails_all_is_as_it_was(shop, monkeypatch, capsys):
    before = contents_of(shop / "run")
    table = pq.read_table(write_log(shop / "new.parquet", "2024-01-04", named(0, 14)))
    pq.write_table(table.drop_columns(["visit"]), "bad.parquet")
    command("update", exit_code=2, run="run", input="bad.parquet")
    assert "no such column: `session_column` visit" in capsys.readouterr().err and contents_of(shop / "run") == before

    def fail(trainer):
        raise InputError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(RecSysTrainer, "train", fail)
        command("update", exit_code=2, run="run", input="new.parquet")
    assert contents_of(shop / "run") == before
    command("update", run="run", input="new.parquet")
    assert RunFolder.open("run").day_name == "2024-01-04"


def test_a_signal_leaves_all_as_it_was_and_the_same_command_goes_on(shop, monkeypatch, capsys):
    before, new = contents_of(shop / "run"), write_log(shop / "new.parquet", "2024-01-04", named(0, 12))
    ask = StopRequest.on_step_end

    def stop(self, *arguments, **others):
        self.signal = signal.SIGTERM
        ask(self, *arguments, **others)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(StopRequest, "on_step_end", stop)
        command("update", run="run", input=new)
    told = capsys.readouterr().err
    assert stopped.value.code == 143 and contents_of(shop / "run") == before
    assert "give the same command again to go on" in told and "resume_from_checkpoint" not in told
    command("update", run="run", input=new)
    assert RunFolder.open("run").day_name == "2024-01-04"


def test_of_two_at_once_one_is_refused(shop, capsys):
    new = write_log(shop / "new.parquet", "2024-01-04", named(0, 12))
    with claimed(shop / "run"):
        command("update", exit_code=2, run="run", input=new)
    assert f"in use by another run (process {os.getpid()} on" in " ".join(capsys.readouterr().err.split())


def test_earlier_models_stay_and_come_back(shop, capsys):
    first = tensors_of(shop / "run")
    for day in (4, 5, 6):
        log = write_log(shop / f"{day}.parquet", f"2024-01-0{day}", named(4, 16))
        command("update", run="run", input=log, keep=2)
    assert sorted(path.name for path in (shop / "run/updates/models").iterdir()) == ["2024-01-04", "2024-01-05"]
    assert RunFolder.open("run", "2024-01-06").day_name == "2024-01-06"
    kept = Recommender.load("run", model="2024-01-04")
    assert kept.last_day == "2024-01-04" and kept.results.num_rows == 3
    command("recommend", run="run", items="sku-3", model="2024-01-01", exit_code=2)
    assert "there are 2024-01-04, 2024-01-05, 2024-01-06" in capsys.readouterr().err

    of_day_4, of_day_6 = tensors_of(shop / "run/updates/models/2024-01-04"), tensors_of(shop / "run")
    command("update", run="run", rollback="2024-01-04")
    assert are_equal(tensors_of(shop / "run"), of_day_4) and not are_equal(first, of_day_4)
    assert "2024-01-05" not in numbers_of(shop / "run")
    # The days of the course that was given up come again, and are trained on again.
    command("update", run="run", input=["5.parquet", "6.parquet"], keep=2)
    assert are_equal(tensors_of(shop / "run"), of_day_6)
    assert [path.name for path in (shop / "run/updates/models").iterdir()] == ["2024-01-04"]
    command("update", run="run", rollback="2024-01-06", exit_code=2)


@pytest.mark.parametrize(
    ("items", "num_items"),
    [(named(0, 12), 12), (named(50, 60), 22), (named(0, 12) + named(50, 54), 16)],
    ids=["none new", "all new", "some new"],
)
def test_days_with_old_and_new_items(items, num_items, shop):
    command("update", run="run", input=write_log(shop / "new.parquet", "2024-01-04", items))
    assert RunFolder.open("run").vocabularies["item_id"].num_rows == num_items
    rows = Recommender.load("run").recommend([[items[-1]]], k=num_items)
    assert set(rows["item"].to_pylist()) == set(named(0, 12)) | set(items)
    results = Recommender.load("run").results.to_pylist()[-1]
    assert results["eval_unseen_label_share"] == pytest.approx(
        len(set(items) - set(named(0, 12))) / len(items), abs=0.2
    )


def test_new_items_begin_around_those_of_their_category(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logs = [write_log(tmp_path / f"{day}.parquet", f"2024-01-0{day}", named(0, 12)) for day in (1, 2, 3)]
    new = write_log(tmp_path / "new.parquet", "2024-01-04", named(12, 72), num_sessions=120)
    for log in (*logs, new):
        events = pq.read_table(log)
        is_even = [int(item.removeprefix("sku-")) % 2 == 0 for item in events["item"].to_pylist()]
        pq.write_table(events.append_column("kind", pa.array(np.where(is_even, "even", "odd"))), log)
    flags = {"learning_rate": 0.0, "item_id_embeddings_init_std": 1.0, "new_items": "features"}
    days = {"start_date": "2024-01-01", "end_date": "2024-01-03"}
    trained(tmp_path, logs, recipe={"category_column": "kind"}, **flags, **days)
    command("update", run="run", input=new)
    run = RunFolder.open("run")
    ids = {row["raw"]: row["id"] for row in run.vocabularies["item_id"].to_pylist()}
    table = run.weights()["scorer.table"]
    known, begun = (
        [table[[ids[f"sku-{number}"] for number in range(first + of_kind, last, 2)]].mean(0) for of_kind in (0, 1)]
        for first, last in ((0, 12), (12, 72))
    )
    for of_kind, other in ((0, 1), (1, 0)):
        assert torch.dist(begun[of_kind], known[of_kind]) < 0.5 * torch.dist(begun[of_kind], known[other])


def test_vectors_of_new_items_may_be_in_a_file_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def write_vectors(name, vectors):
        lists = pa.array(list(vectors.values()), pa.list_(pa.float32()))
        pq.write_table(pa.table({"id": list(vectors), "vector": lists}), name)

    logs = [write_log(tmp_path / f"{day}.parquet", f"2024-01-0{day}", named(0, 6)) for day in (1, 2)]
    write_vectors("first.parquet", {item: [1.0, 0.0] for item in named(0, 6)})
    dates = {"start_date": "2024-01-01", "end_date": "2024-01-02"}
    trained(tmp_path, logs, item_vectors="first.parquet", freeze_item_vectors=True, **dates)
    Path("first.parquet").unlink()
    write_vectors("second.parquet", {"sku-7": [0.0, 1.0]})
    command("update", run="run", input=write_log(tmp_path / "3.parquet", "2024-01-03", ["sku-7", "sku-0"]), exit_code=2)
    assert f"--item_vectors {tmp_path / 'first.parquet'}" in capsys.readouterr().err
    command("update", run="run", input=tmp_path / "3.parquet", item_vectors="second.parquet")
    of_run = RunFolder.open(tmp_path / "run")
    direction = torch.nn.functional.normalize(ItemData.of_weights(of_run.weights()).vectors, dim=-1)
    assert torch.equal(direction[1:].round(), torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]]))
    assert of_run.settings["given"]["item_vectors"] == str(tmp_path / "second.parquet")


def test_an_item_comes_back_after_a_year_and_keeps_its_vector_until_then(shop, capsys):
    before = RunFolder.open("run")
    known = before.vocabularies["item_id"].to_pylist()
    log = write_log(shop / "new.parquet", "2025-01-04", ["sku-5", "sku-99", "sku-98"])
    command("update", run="run", input=log)
    after = RunFolder.open("run")
    assert {row["raw"]: row["id"] for row in known}.items() <= {
        row["raw"]: row["id"] for row in after.vocabularies["item_id"].to_pylist()
    }.items()
    of_item = {row["raw"]: row["id"] for row in known}["sku-5"]
    counts = [tensors_of_run["item_counts"][of_item] for tensors_of_run in (before.weights(), after.weights())]
    assert counts[1] > counts[0] + 25
    assert "2025-01-04" in capsys.readouterr().err


def test_hours_windows_and_a_feature_config_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    log = write_log(tmp_path / "logs" / "a.parquet", "2024-01-01", named(0, 12), num_sessions=60, hours=[8, 9, 10])
    own = tmp_path / "own.yaml"
    own.write_text("item_id: {dtype: categorical, cardinality: 13, is_label: true}\n")
    flags = {"time_unit": "hour", "training_time_window_size": 3, "feature_config": own}
    hours = {"start_date": "2024-01-01-08", "end_date": "2024-01-01-10"}
    trained(tmp_path, [log], recipe={"time_unit": "hour"}, **flags, **hours)
    capsys.readouterr()
    new = write_log(tmp_path / "b.parquet", "2024-01-02", named(8, 16), num_sessions=40, hours=[8, 9])
    command("update", run="run", input=new)
    said = " ".join(capsys.readouterr().err.split())
    assert "2024-01-02-09: the window joins the days around 2024-01-01-11" in said
    run = RunFolder.open("run")
    assert run.day_name == "2024-01-02-09" and run.schema.item_id.cardinality == 17
    assert [feature.name for feature in run.schema.columns] == ["item_id"]
    assert {"2024-01-02-08", "2024-01-02-09"} <= set(Recommender.load("run").results["index"].to_pylist())


def test_runs_that_cannot_be_updated_say_why(shop, tmp_path, capsys):
    command("update", run="run", input=shop / "logs" / "1.parquet", item_vectors="vectors.parquet", exit_code=2)
    assert "--item_vectors vectors.parquet is not a file" in capsys.readouterr().err
    Path("vectors.parquet").touch()
    command("update", run="run", input=shop / "logs" / "1.parquet", item_vectors="vectors.parquet", exit_code=2)
    assert "--item_vectors: run was trained without; leave it out, or train anew" in capsys.readouterr().err
    command("update", run="run", rollback="2024-01-02", item_vectors="vectors.parquet", exit_code=2)
    assert "--item_vectors says nothing to a --rollback; leave it out" in capsys.readouterr().err
    new = write_log(shop / "new.parquet", "2024-01-04", named(0, 12))
    for flags, said in (
        ({"run": "run"}, "give either --input"),
        ({"run": "nothing", "input": new}, "holds no finished day"),
        ({"run": "run", "input": new, "rollback": "2024-01-01"}, "give either --input"),
        ({"run": "run", "rollback": "2024-01-01"}, "there are 2024-01-02"),
        ({"run": "run", "input": "no.parquet"}, "no.parquet"),
    ):
        command("update", exit_code=2, **flags)
        assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("nothing").exists()


def test_a_run_on_a_split_without_days_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    log = write_log(tmp_path / "logs" / "a.parquet", "2024-01-01", named(0, 12))
    recipe = {"split": "leave_one_out", "session_column": "user"}
    command("preprocess", input=log, output="days", **{**RECIPE, **recipe})
    assert cli.main(["train", "days/train.yaml", "--num_train_epochs", "1", "--report_to", "none"]) == 0
    new = write_log(tmp_path / "b.parquet", "2024-01-02", named(8, 16))
    before = contents_of(tmp_path / "results")
    capsys.readouterr()
    command("update", run="results", input=new, exit_code=2)
    said = " ".join(capsys.readouterr().err.split())
    assert "results was trained on `split` leave_one_out, which has no days to go on with; train anew" in said
    assert contents_of(tmp_path / "results") == before


def test_day_files_that_are_gone_are_named(shop, finished, capsys):
    new = write_log(shop / "new.parquet", "2024-01-04", named(0, 12))
    (finished / "days").rename(finished / "elsewhere")
    try:
        command("update", exit_code=2, run="run", input=new)
    finally:
        (finished / "elsewhere").rename(finished / "days")
    said = " ".join(capsys.readouterr().err.split())
    assert "2024-01-02-train.parquet" in said and "--data_path" in said


def kill_updates(shop, which):
    log = write_log(shop / "new.parquet", "2024-01-04", named(6, 15))
    shutil.move("run", "start")
    environment = os.environ | {"PYTHONPATH": str(CODES), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(KILLS), which, "--input", str(log)]
    done = subprocess.run(line, cwd=shop, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + (shop / "console.txt").read_text()[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_killed_at_any_file_and_started_again_it_ends_the_same(shop):
    assert kill_updates(shop, "all") == []


def test_events_without_a_user_go_through_all_of_it_and_have_no_history(tmp_path, monkeypatch):
    """Whole-number users with gaps, a day on which nobody is known, and one that pandas has turned into floats."""
    monkeypatch.chdir(tmp_path)
    logs = [write_log(tmp_path / "logs" / f"{day}.parquet", f"2024-01-0{day}", named(0, 12)) for day in range(1, 6)]
    for path, keeps in zip(logs, (5, 5, 5, 0, 5), strict=True):
        table = pq.read_table(path)
        users = [user if user < keeps else None for user in table["user"].to_pylist()]
        pq.write_table(table.set_column(3, "user", pa.array(users, pa.int64())), path)
    trained(tmp_path, logs[:3], start_date="2024-01-01", end_date="2024-01-03", session_aware=True)
    recommended = tmp_path / "recommended.parquet"
    command("recommend", run=tmp_path / "run", input=logs[3], output=recommended, k=2)
    assert len(set(pq.read_table(recommended)["session"].to_pylist())) == 30
    for log in logs[3:]:
        command("update", run=tmp_path / "run", input=log)
    assert RunFolder.open(tmp_path / "run").day_name == "2024-01-05"
    for day in range(1, 6):
        days = tmp_path / "days" if day <= 3 else tmp_path / "run" / "updates" / "days"
        rows = pq.read_table(days / f"session_start_date=2024-01-0{day}-train.parquet").to_pylist()
        has_history = {row["user_id"]: bool(row["bef_item_id"]) for row in rows}
        assert set(has_history) == ({0, 1, 2, 3, 4, None} if day != 4 else {None}) and not has_history[None]
        assert day == 1 or all(has for user, has in has_history.items() if user is not None)
    # As text they would be other users: 3.0 is not 3.
    table = pq.read_table(logs[4])
    pq.write_table(table.set_column(3, "user", table["user"].cast(pa.float64())), tmp_path / "floats.parquet")
    command("recommend", exit_code=2, run=tmp_path / "run", input=tmp_path / "floats.parquet", output=recommended)
