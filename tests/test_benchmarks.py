"""Every script of benchmarks/ runs at a tiny size and gives numbers, and the commands that documents name parse."""

from __future__ import annotations

import argparse
import csv
import gc
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from transformers4recsys import cli
from transformers4recsys.benchmarking.sweep import against
from transformers4recsys.benchmarking.workload import write_sessions

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
PARTS_OF_SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.py")} - set(SCRIPTS))
PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "datasets/*/*.md") for path in ROOT.glob(pattern))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script, with those beside it in reach."""
    monkeypatch.syspath_prepend(FOLDER)
    return import_module


@pytest.fixture
def start(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """Run a script by its command line, in an empty folder; give what it prints.

    Commands of this package and parts of the script itself that it runs as processes run in this one: importing the
    libraries once more each time would take most of the time.
    """
    monkeypatch.chdir(tmp_path)
    run_process, num_threads = subprocess.run, torch.get_num_threads()

    def main(module: ModuleType, words: list[str]) -> str:
        output = io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(output):
            patch.setattr(sys, "argv", [str(module.__file__), *words])
            module.main()
        return output.getvalue()

    def run(name: str, *words: object) -> str:
        module = script(name)

        def run_here(line: list[str], **options: object) -> subprocess.CompletedProcess[str]:
            if line[1] == module.__file__:
                output = main(module, line[2:])
                if "stdout" not in options:
                    sys.stdout.write(output)
                return subprocess.CompletedProcess(line, 0, output)
            if line[1:3] == ["-m", "transformers4recsys"]:
                return subprocess.CompletedProcess(line, cli.main(line[3:]))
            if Path(line[1]).name == "recsys_main.py":
                return subprocess.CompletedProcess(line, cli.main(["train", *line[2:]]))
            return run_process(line, **options)

        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "run", run_here)
            return main(module, [str(word) for word in words])

    # The Trainer collects garbage at each end, of all that was imported for other tests too.
    gc.freeze()
    yield run
    gc.unfreeze()
    torch.set_num_threads(num_threads)


def lines_of_json(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def table_of(output: str) -> list[dict[str, str]]:
    """Read the rows of a Markdown table, by the names of its columns."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def number(text: str) -> float:
    return float(text.replace(",", "").strip("*%"))


def test_every_script_is_started_here():
    for name in SCRIPTS:
        tests = [each for each in globals() if each == f"test_{name}" or each.startswith(f"test_{name}_")]
        assert tests, (
            f"benchmarks/{name}.py is started by no test: add a function test_{name} to tests/test_benchmarks.py that "
            f'runs it at a tiny size, start("{name}", "--flag", ...), and looks at the numbers that it prints or writes'
        )
    sources = [(FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in SCRIPTS]
    for name in PARTS_OF_SCRIPTS:
        assert any(f"from {name} import" in source for source in sources), (
            f"benchmarks/{name}.py is neither a script with a main() nor imported by one"
        )


def commands() -> list[str]:
    """List what the pages say to type, from the name of the script on; code in a sentence goes on over lines."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"python benchmarks/(.*)", text):
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            end = text.index("`", match.start()) if before.count("`") % 2 else match.end()
            found.add(" ".join(text[match.start(1) : end].split()))
    return sorted(found)


class Parsed(Exception):
    """Ends a script once its flags have been read."""


def test_pages_name_commands_of_most_scripts():
    assert {command.split(".py")[0] for command in commands()} >= {"compare", "gpu", "recommending", "serving"}


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_parses(script, monkeypatch, command):
    name, *words = shlex.split(command, comments=True)
    parse = argparse.ArgumentParser.parse_args

    def parse_alone(parser: argparse.ArgumentParser) -> None:
        parse(parser)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_alone)
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(Parsed):
        script(name.removesuffix(".py")).main()


@pytest.mark.slow
def test_cold_start(start, script):
    output = start("cold_start", "--days", 4, "--sessions_per_day", 200, "--items", 400)
    head, *rows = [line.split(" | ") for line in output.splitlines()[-5:]]
    module = script("cold_start")
    assert head == ["flags", *module.METRICS] and [row[0] for row in rows] == list(module.RUNS)
    metrics = [dict(zip(module.METRICS, map(float, row[1:]), strict=True)) for row in rows]
    for each in metrics:
        assert 0 < each["ndcg@10"] < each["seen_ndcg@10"] < 1, "a label never seen is rarely found"
        assert 0 <= each["cold_recall@20"] <= each["cold_recall@100"] <= 1
    assert metrics[0]["cold_recall@100"] == 0 < metrics[-1]["cold_recall@100"], "without features it is never found"


def write_clicks(path: Path) -> None:
    """Write sessions as Diginetica's are, in which each item is followed by the next one."""
    sessions = [[(first + place) % 30 for place in range(4)] for first in range(150)]
    rows = [(item, number, place) for number, session in enumerate(sessions) for place, item in enumerate(session)]
    items, numbers, places = (list(column) for column in zip(*rows, strict=True))
    splits = ["test" if each >= 130 else "valid" if each >= 110 else "train" for each in numbers]
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"item_id": items, "session_id": numbers, "position": places, "split": splits}), path)


@pytest.mark.slow
def test_compare(start, script, tmp_path):
    write_clicks(tmp_path / "logs" / "diginetica" / "events.parquet")
    output = start("compare", "--only", "diginetica", "--logs", "logs", "--output", "compared")
    rows = {row[""]: row for row in table_of(output[output.index("### diginetica") :])}
    module = script("compare")
    assert list(rows) == ["rules", *(name for name in module.LOGS["diginetica"].baselines if name != "rules")]
    ndcg = {name: float(row["ndcg@20"]) for name, row in rows.items()}
    assert 1 >= ndcg["rules"] > 0.9 > 2 * ndcg["popular"] > 0, "the rules know what follows"
    for name, row in rows.items():
        assert all(0 <= float(row[metric]) <= 1 for metric in module.METRICS) and int(row["CPU s"]) >= 0
        if name != "rules":
            assert float(row["ndcg@20 less rules"]) == pytest.approx(ndcg[name] - ndcg["rules"], abs=1.5e-4)


def test_compare_speed(start, script):
    rows = table_of(start("compare", "--speed", "--items", 60, "--sessions", 300))
    assert [row[""] for row in rows] == list(script("compare").BASELINES)
    for row in rows:
        assert number(row["items"]) == 60 and number(row["MiB more at the peak"]) >= 0
        assert number(row["sessions learned a second"]) > 0 < number(row["prefixes scored a second"])


@pytest.mark.slow
def test_first_answer(start):
    (line,) = lines_of_json(start("first_answer", "--repeats", 1, "--encoders", "gru", "--inputs", "item"))
    assert (line["encoder"], line["inputs"]) == ("gru", "item")
    assert 0 < line["answer_s"] == line["longest_answer_s"] <= line["end_s"] and line["processor_s"] > 0


def test_gpu_without_one(start, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        start("gpu")
    assert "no CUDA GPU is at hand; try the parts in small with --device cpu --small" in capsys.readouterr().err


def test_gpu_runs_all_parts_and_ends_with_1_where_some_failed(start, script, monkeypatch):
    module, began = script("gpu"), []
    failed = {"failed": "RuntimeError: no kernel"}
    results = {"products": failed, "serving": {"failed": 2}, "recommending": {"failed": 0}}

    def run_part(name: str, *_: object) -> dict[str, Any]:
        began.append(name)
        return results.get(name, {})

    monkeypatch.setattr(module, "run_part", run_part)
    with pytest.raises(SystemExit, match="^failed: products, serving; their lines say why$"):
        start("gpu", "--device", "cpu", "--small")
    assert began == list(module.PARTS)
    results.clear()
    start("gpu", "--device", "cpu", "--small")


@pytest.mark.parametrize("code", [0, 1])
def test_gpu_tests_that_fail_are_a_part_that_failed(code, script, monkeypatch, tmp_path):
    module, last = script("gpu"), "== 1 failed, 2 passed in 3.00s =="
    ended = subprocess.CompletedProcess([], code, stdout=last, stderr="")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: ended)
    numbers = module.marked_tests(module.SMALL, "cpu", tmp_path)
    assert numbers.get("failed") == (f"exit code 1: {last}" if code else None)


@pytest.mark.slow
def test_gpu_parts_in_small(start, script, tmp_path):
    module = script("gpu")
    module.write_days(module.SMALL, tmp_path)

    def numbers(part: str) -> dict[str, Any]:
        return lines_of_json(start("gpu", "--device", "cpu", "--small", "--part", part, "--folder", tmp_path))[-1]

    assert all(rate > 0 for rate in numbers("products").values())
    assert numbers("documented_command")["training_sessions_per_s"] > 0
    beside = numbers("step_beside_plain")
    ratio = beside["train_sessions_per_s"] / beside["plain_sessions_per_s"]
    # The rates are printed as whole numbers.
    assert beside["x_plain"] == pytest.approx(ratio, rel=0.1) and beside["eval_sessions_per_s"] > 0
    assert numbers("output_layer")["targets"] == 4 * module.SMALL.batch_size
    assert numbers("recommending")["sessions_per_s"] > 0
    assert numbers("one_process_group") == {"backend": "gloo", "sum": 1_000_000}
    assert numbers("largest_batch") == {"sessions_a_step": 32, "what_ended_it": "the largest that is tried"}


@pytest.mark.slow
def test_large_catalogue(start, script, monkeypatch):
    monkeypatch.setattr(script("large_catalogue"), "NUM_SESSIONS", 600)
    output = start("large_catalogue", "--items", 9_000, "--steps", 5, "--sessions", 16, "--new_items", "features")
    train, go_on, recommend = lines_of_json(output)
    assert [(each["items"], each["part"]) for each in (train, go_on, recommend)] == [
        (9_000, part) for part in ("train", "go on", "recommend")
    ]
    stages = (train, "build count train evaluate save"), (go_on, "train"), (recommend, "load recommend")
    for numbers, names in stages:
        assert all(numbers[f"{name} s"] >= 0 and numbers[f"{name} peak"] > 1 for name in names.split())
    assert min(train["step cpu ms"], go_on["step cpu ms"]) > 0 and go_on["read and grow peak"] > 1


def test_loading(start):
    lines = lines_of_json(start("loading", "--sessions", 320, "--repeats", 1, "--cores", 1))
    assert {"check", "pyarrow, later epochs", "row-wise pandas, 2 workers"} <= {line["reader"] for line in lines}
    for line in lines:
        assert line["events_per_second"] / line["sessions_per_second"] == pytest.approx(11, abs=1), "2 to 20 items"


def test_loading_memory(start):
    head, *lines = lines_of_json(start("loading", "--gigabytes", 0.001, "--row_group", 1000))
    assert 0.001 <= head["file_gb"] < 0.002 and head["sessions"] % 1000 == 0
    assert len(lines) == 5 and all(line["peak_gb"] > 0 <= line["seconds"] for line in lines)


@pytest.mark.slow
def test_next_day(start, script):
    output = start("next_day", "--output", "out", "--days", 4, "--sessions_per_day", 30, "--items", 60)
    day, mean = table_of(output)[-2:]
    assert day["day"] == "2019-10-04" and mean["day"] == "mean"
    courses = ("mean", "random", "from the start", "no growth")
    assert all(0 < number(day[course]) < 1 for course in courses) and 0 <= number(day["labels never seen"]) < 1
    assert {course: number(mean[course]) for course in courses} == {course: number(day[course]) for course in courses}
    assert lines_of_json(output)[-1]["mean"] == 1


def test_plot_days(start, run_train, tmp_path):
    runs = [run_train(name, model_type=name) for name in ("gru", "avgseq")]
    start("plot_days", tmp_path / "days.png", *runs)
    picture = plt.imread(tmp_path / "days.png")
    colours = {tuple(colour) for colour in np.round(picture[..., :3].reshape(-1, 3) * 255).astype(int).tolist()}
    # A thick line of each run, in its own colour: #1f5fbf and #c2571a.
    assert {(0x1F, 0x5F, 0xBF), (0xC2, 0x57, 0x1A)} <= colours


# Flags of the baselines of `benchmark`, at a tiny size.
OF_BASELINE = ["--workload", "sessions.parquet", "--steps", 2, "--warmup", 1, "--batch", 16, "--eval-sessions", 10]
OF_BASELINE += ["--d", 8, "--layers", 1, "--heads", 2, "--maxlen", 6]


@pytest.mark.slow
def test_plain_trainer(start, tmp_path, monkeypatch):
    # Where the repository is on the path, its folder `datasets` is taken for the library of that name.
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)
    write_sessions(tmp_path / "sessions.parquet", num_items=50, num_sessions=100, length=4.0, longest=6, seed=1)
    can_be_compared(start("plain_trainer", *OF_BASELINE))


@pytest.mark.slow
def test_replay_trainer(start, tmp_path):
    pytest.importorskip("replay", reason="RePlay is not installed")
    write_sessions(tmp_path / "sessions.parquet", num_items=50, num_sessions=100, length=4.0, longest=6, seed=1)
    can_be_compared(start("replay_trainer", *OF_BASELINE))


def can_be_compared(output: str) -> None:
    (row,) = lines_of_json(output)
    assert 0 <= row.pop("recall@20") <= 1
    ours = {"train_sessions_per_s": 6, "train_sessions_per_cpu_s": 6, "eval_sessions_per_s": 6}
    compared = against(ours | {"eval_sessions_per_cpu_s": 6, "peak_memory_mb": 6}, row)
    assert len(row) == 5 and all(value > 0 for value in compared.values())


def test_preprocessing(start):
    runs = ("polars", "duckdb", "duckdb_without_history")
    rows = table_of(start("preprocessing", "--events", 0.002, "--runs", *runs))
    assert [row["run"] for row in rows] == list(runs)
    for row in rows:
        assert 1_500 < number(row["events"]) < 2_500 and number(row["events/s"]) > 0 and number(row["GB"]) > 0
    for row in rows[1:]:
        shares = [number(row[part]) for part in ("read, ids", "features", "lists, write")]
        assert min(shares) > 0 and sum(shares) == pytest.approx(100, abs=2)


@pytest.mark.spark
def test_plain_spark_makes_the_sessions_of_polars(script, tmp_path):
    plain, log = script("preprocessing"), tmp_path / "log"
    plain.simulate(plain.SimulateSettings(log, 3, 60, items=50))
    made = []
    for run in (plain.polars, plain.plain_spark):
        run(log, tmp_path / run.__name__)
        files = sorted((tmp_path / run.__name__).rglob("*.parquet"))
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        made.append(
            sorted(
                (row["user_session"], [time.replace(tzinfo=None) for time in row["event_time"]], row["price"])
                for row in rows
            )
        )
    assert made[0] == made[1] and len(made[0]) > 100


def test_recommending(start, script):
    pytest.importorskip("usearch", reason="the extra `index` is not installed")
    ways = script("recommending").WAYS
    output = start("recommending", "--items", 600, "--sessions", 8, "--repeats", 1)
    lines = lines_of_json(output)
    (index,) = (line for line in lines if "recall" in line)
    assert (index["items"], index["connectivity"]) == (600, 16) and 0.9 < index["recall"] <= 1
    lines.remove(index)
    assert [line["way"] for line in lines] == list(ways)
    for line in lines:
        assert (line["items"], line["at_a_time"]) == (600, 8)
        assert line["sessions_by_processor_second"] > 0 < line["sessions_by_second"] and line["peak_mb"] >= 0


def test_recommending_of_a_run(start, script, run_train, toy_days):
    pytest.importorskip("usearch", reason="the extra `index` is not installed")
    day = toy_days / "session_start_date=2019-10-03-test.parquet"
    words = ("--run", run_train(), "--day", day, "--sessions", 8, "--repeats", 1, "--graph", 2, 2, 2)
    index, lists = lines_of_json(start("recommending", *words, "--ways", script("recommending").INDEXED))
    assert [index[name] for name in ("items", "connectivity", "expansion_add", "expansion_search")] == [30, 2, 2, 2]
    assert 0 < index["recall"] <= 1 and (lists["items"], lists["at_a_time"]) == (30, 8)


@pytest.fixture
def small_shop(script, monkeypatch):
    for name, value in {"NUM_ITEMS": 500, "NUM_SESSIONS": 256, "RELOAD_EVERY": 1, "WARM_UP": 0.1}.items():
        monkeypatch.setattr(script("serving"), name, value)


@pytest.mark.slow
def test_serving(start, small_shop):
    words = ("--backends", "torch", "--max_batch", 64, "--clients", 2, "--seconds", 0.5)
    served, one, many = lines_of_json(start("serving", *words))
    assert (served["backend"], served["max_batch"], served["failed"]) == ("torch", 64, 0)
    assert served["requests_a_second"] > 0 < served["p50_ms"] <= served["p99_ms"] and served["server_processor_ms"] > 0
    assert one["directly"] == "1 at a time" and one["sessions_a_second"] > 0 < many["sessions_a_second"]


@pytest.mark.slow
def test_serving_with_reloads(start, small_shop):
    load, times = lines_of_json(start("serving", "--minutes", 0.05, "--clients", 2))
    assert load["requests"] > 0 == load["failed"] and load["reloads"] >= 1
    assert len(load["memory_mb"]) == 3 and min(load["memory_mb"]) > 100 and 0 < times["p50_ms"] <= times["p99_ms"]


@pytest.mark.slow
def test_two_processes(start):
    of_steps = ("--steps", 4, "--sessions_of_each", 16)
    words = ("--items", 100, *of_steps, "--repeats", 1, "--ways", "one", "--", "--dropout", 0)
    run, speed_up = lines_of_json(start("two_processes", *words))
    assert run["way"] == "one" and run["sessions/s"] > 0 < run["cpu s"] and run["peak MB"] > 100
    assert speed_up == {"speed-up, by medians": {"one": 1}}


@pytest.mark.slow
def test_zoo(start, script, tmp_path, monkeypatch):
    # The script sets it for its processes.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # What a process of the script trains on is sent to it.
    monkeypatch.setattr(script("zoo"), "SHOP", replace(script("zoo").SHOP, epochs=1))
    words = ("--only", "encoders avgseq causal", "--processes", 1, "--folder", "days", "--docs", ".", "--eshop", "none")
    start("zoo", *words)
    (row,) = csv.DictReader((tmp_path / "zoo.csv").open(encoding="utf-8"))
    assert (row["encoder"], row["task"], row["loss"], row["remark"]) == ("avgseq", "causal", "cross_entropy", "")
    numbers = [float(row[f"shop_{name}"]) for name in ("ndcg@10", "recall@20", "popular_ndcg@10")]
    assert all(0 < value < 1 for value in numbers) and float(row["shop_events_per_s"]) > 0
    assert f"| avgseq | causal | cross_entropy | tied | {numbers[0]:.3f} |" in (tmp_path / "models.md").read_text()
    assert plt.imread(tmp_path / "zoo.png").std() > 0
