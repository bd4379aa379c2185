"""The command reads events or ids from files and standard input, and writes what the Recommender says."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from transformers4recsys.commands import recommend
from transformers4recsys.errors import InputError
from transformers4recsys.recommender import Recommender


@pytest.fixture
def output(run_train, toy_days):
    return run_train(end_date="2019-10-02")


@pytest.fixture
def run(output, tmp_path):
    """Run the command on the toy run; give the rows of its output file."""

    def call(name="out.jsonl", **values):
        recommend.run({"run": str(output), "output": str(tmp_path / name), "device": "cpu", **values})
        if name.endswith("jsonl"):
            return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        read = pq.read_table if name.endswith("parquet") else pyarrow.csv.read_csv
        return read(tmp_path / name).to_pylist()

    return call


def best(output, sessions, **options):
    return Recommender.load(output, device="cpu").recommend(sessions, **options).to_pylist()


def same(found, expected):
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert {**row, "score": None} == {**other, "score": None}
        assert row["score"] == pytest.approx(other["score"], rel=1e-6)


def test_what_was_done_is_told_in_numbers_and_words(run, caplog):
    caplog.set_level("INFO", "transformers4recsys")
    run(items=["3"], k=1)
    assert "out.jsonl: 1 recommendation for 1 session" in caplog.text
    run(items=["nothing", "3"], k=2)
    assert "given items that are not known to this run, and are left out: 1" in caplog.text
    run(items=["nothing"], k=2, fallback="popular")
    assert "out.jsonl: 2 recommendations for 1 session" in caplog.text
    assert "without a known item: 1 of 1 session; they get the most popular items" in caplog.text


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_items_of_one_session(name, run, output):
    same(run(name, items=["3", "7"], k=4), best(output, [[3, 7]], k=4))


def test_standard_output_is_csv(output, capfdbinary):
    recommend.run({"run": str(output), "items": ["3"], "k": 2, "device": "cpu"})
    table = pa.csv.read_csv(io.BytesIO(capfdbinary.readouterr().out))
    same(table.to_pylist(), best(output, [[3]], k=2))


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_sessions_in_a_file(ending, run, output, tmp_path):
    sessions = [[3, 7], [5, 99], [98]]
    rows = [{"session": f"s{number}", "items": session} for number, session in enumerate(sessions)]
    path = tmp_path / f"sessions.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    expected = [{**row, "session": f"s{row['session']}"} for row in best(output, sessions, k=3, fallback="popular")]
    same(run(input=[str(path)], k=3, fallback="popular"), expected)
    assert expected[-1]["is_fallback"] and not expected[0]["is_fallback"]


def test_sessions_on_standard_input(run, output, monkeypatch):
    lines = "\n".join(json.dumps({"items": items}) for items in ([3, 7], [5]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    same(run(input=["-"], k=3), best(output, [[3, 7], [5]], k=3))


def test_filters_come_from_files(run, output, tmp_path):
    (tmp_path / "only.txt").write_text("1\n2\n\n3\n30\n")
    (tmp_path / "never.csv").write_text("session,item\n0,1\n7,2\n")
    expected = best(output, [[3, 7]], candidates=[1, 2, 3, 30], exclude=[1], exclude_seen=True)
    assert {row["item"] for row in expected} == {2, 30}
    found = run(
        items=["3", "7"], candidates=str(tmp_path / "only.txt"), exclude=str(tmp_path / "never.csv"), exclude_seen=True
    )
    same(found, expected)
    assert run(items=["3"], min_score=1e9) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "give either `input`"),
        ({"items": ["3"], "input": ["x"]}, "give either `input`"),
        ({"items": ["3"], "output": "x.txt"}, "`output` x.txt: the ending does not say"),
        ({"items": ["3"], "candidates": "none.csv"}, "`candidates` none.csv cannot be read"),
        ({"items": ["3"], "k": 0}, "`k` 0"),
        ({"items": ["3"], "run": "nowhere"}, "nowhere"),
        ({"input": ["none.parquet"]}, "none.parquet"),
    ],
)
def test_refuses(values, message, output, tmp_path):
    settings = {"run": str(output), "output": str(tmp_path / "out.csv"), **values}
    with pytest.raises(InputError, match=message):
        recommend.run(settings)
    assert not list(tmp_path.glob("*out.csv*"))


def test_a_run_without_a_recipe_cannot_read_events(run, tmp_path):
    pq.write_table(pa.table({"visit": ["a"], "sku": ["b"]}), tmp_path / "events.parquet")
    with pytest.raises(InputError, match="has no recipe to read raw events with"):
        run(input=[str(tmp_path / "events.parquet")])


def test_lists_of_ids_need_no_library_that_takes_seconds_to_import(run_train, toy_days):
    of_items = toy_days / "item_id.yaml"
    of_items.write_text("item_id: {dtype: categorical, cardinality: 31, is_label: true}\n")
    run = run_train(end_date="2019-10-02", model_type="gpt2", feature_config=of_items)
    words = ["recommend", "--run", str(run), "--items", "3", "--device", "cpu"]
    code = (
        f"import sys; from transformers4recsys.cli import main; main({words}); "
        "sys.exit(', '.join({'transformers', 'accelerate', 'ibis', 'duckdb'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('"session","rank","item"')
