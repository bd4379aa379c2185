"""Which set-ups are measured, what a line holds, and what medians are of."""

import csv
import json

import pytest

from transformers4recsys.benchmarking import sweep as sweeping
from transformers4recsys.benchmarking.measure import SetUp, measure
from transformers4recsys.benchmarking.sweep import append, medians, run_all, sweep
from transformers4recsys.errors import InputError

SMALL = SetUp(
    **{"num_items": 40, "num_sessions": 200, "length": 4.0, "longest": 8, "d_model": 8, "n_layer": 1, "n_head": 2},
    **{"batch_size": 16, "num_steps": 2, "num_warmup_steps": 1, "repeats": 1, "threads": 1, "model_type": "gru"},
)
BASELINE = """
import json, sys
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert flags["--batch"] == "16" and flags["--workload"].endswith(".parquet")
print("training ...")
print(json.dumps({"peer": "plain", "train_sessions_per_s_medstep": 2.0, "eval_sessions_per_s": 4.0,
    "train_sessions_per_cpu_s": 1.0, "eval_sessions_per_cpu_s": 1.0, "peak_rss_mb": 100.0}))
"""


@pytest.fixture
def measured_here(monkeypatch):
    """Measure in this process, which has its libraries already; baselines keep a process of their own."""
    run = sweeping._measured

    def measured(command):
        return measure(SetUp(**json.loads(command[-1]))) if "-m" in command else run(command)

    monkeypatch.setattr(sweeping, "_measured", measured)


def test_one_size_varies_at_a_time():
    variants = [{"precision": "fp32"}, {"precision": "bf16"}]
    found = sweep(SMALL, items=[10, 20], lengths=[5.0, 9.0], sessions=[100], variants=variants)
    sizes = [(each.num_items, each.length, each.num_sessions, each.precision) for each in found]
    assert sizes == [
        *[(10, 5.0, 100, "fp32"), (10, 5.0, 100, "bf16"), (20, 5.0, 100, "fp32"), (20, 5.0, 100, "bf16")],
        *[(10, 9.0, 100, "fp32"), (10, 9.0, 100, "bf16")],
    ]


def test_runs_beside_a_baseline_are_compared_with_it(measured_here, tmp_path):
    (tmp_path / "plain.py").write_text(BASELINE)
    done = []
    options = {"repeats": 2, "baseline": tmp_path / "plain.py", "on_run": lambda: done.append(1)}
    (row,) = run_all([SMALL], tmp_path, **options)
    assert len(done) == 2 and row["baseline_train_sessions_per_s"] == 2.0
    with (tmp_path / "benchmark.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2
    for line in lines:
        assert float(line["train_ratio"]) == pytest.approx(float(line["train_sessions_per_s"]) / 2)
        assert float(line["memory_ratio"]) == pytest.approx(float(line["peak_memory_mb"]) / 100)


def test_a_baseline_that_fails_says_why(measured_here, tmp_path):
    (tmp_path / "plain.py").write_text("raise SystemExit('no such column')")
    with pytest.raises(InputError, match="plain.py --workload failed: no such column"):
        run_all([SMALL], tmp_path, repeats=1, baseline=tmp_path / "plain.py", on_run=lambda: None)


def test_medians_of_numbers_alone():
    runs = [{"a": value, "items": 5, "name": "x"} for value in (1.0, 9.0, 2.0)]
    assert medians(runs) == {"a": 2.0, "items": 5, "name": "x"}


def test_a_file_of_other_columns_is_left_alone(tmp_path):
    append(tmp_path / "a.csv", {"x": 1})
    append(tmp_path / "a.csv", {"x": 2})
    before = (tmp_path / "a.csv").read_text()
    assert before.split() == ["x", "1", "2"]
    with pytest.raises(InputError, match="other columns"):
        append(tmp_path / "a.csv", {"y": 1})
    assert (tmp_path / "a.csv").read_text() == before
