"""The picture has a line a loss and precision, over one size at a time."""

from transformers4recsys.benchmarking.picture import _lines, draw


def row(items, length, precision, speed):
    sizes = {"num_items": items, "length": length, "num_sessions": 100, "loss_type": "bpr", "precision": precision}
    measured = {"train_sessions_per_s": speed, "eval_sessions_per_s": 1.0, "peak_memory_mb": 1.0}
    return sizes | measured | {"baseline_train_sessions_per_s": speed / 2}


ROWS = [row(20, 5.0, "fp32", 8.0), row(10, 5.0, "fp32", 9.0), row(20, 5.0, "bf16", 18.0), row(20, 7.0, "fp32", 6.0)]


def test_lines_keep_the_other_sizes_of_the_first_row():
    assert _lines(ROWS, "num_items", "train_sessions_per_s") == {
        "bpr, fp32": [(10, 9.0), (20, 8.0)],
        "bpr, bf16": [(20, 18.0)],
        "baseline": [(10, 4.5), (20, 9.0)],
    }
    assert _lines(ROWS, "length", "train_sessions_per_s")["bpr, fp32"] == [(5.0, 8.0), (7.0, 6.0)]


def test_writes_a_picture(tmp_path):
    draw(ROWS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
