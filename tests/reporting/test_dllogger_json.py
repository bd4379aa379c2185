"""Lines of log.json: their format, and that each is strict JSON."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from transformers4recsys.outputs import Report
from transformers4recsys.reporting.dllogger_json import DLLoggerJson, line

NOW = datetime(2019, 10, 10, 14, 15, 16, 149_999, tzinfo=UTC)


def entries(folder) -> list[dict]:
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    lines = (folder / "log.json").read_text().splitlines()
    assert all(text.startswith("DLLL ") for text in lines)
    return [json.loads(text.removeprefix("DLLL "), parse_constant=refuse) for text in lines]


def test_the_format_to_the_letter():
    started = NOW - timedelta(seconds=0.5)
    assert line("PARAMETER", {"a": 1}, now=NOW, started=started) == (
        'DLLL {"timestamp": "1570716916.14", "datetime": "2019-10-10 14:15:16.14+00:00", "elapsedtime": "0.5", '
        '"type": "LOG", "step": "PARAMETER", "data": {"a": 1}}\n'
    )


def test_steps_are_arguments_then_days_then_the_mean(tmp_path):
    log = DLLoggerJson(tmp_path / "new")
    log.start({"d_model": 64, "output_dir": Path("out"), "betas": [0.9, float("inf")], "none": None})
    log.numbers(Report("2019-10-02", "train", {"train_loss": 2.0}))
    log.numbers(Report("2019-10-02", "eval", {"eval_loss": float("nan"), "eval_recall@5": 0.5}))
    log.numbers(Report("2019-10-03", "eval", {"eval_loss": None, "eval_recall@5": 0.25}))
    log.close()
    found = entries(tmp_path / "new")
    assert [entry["step"] for entry in found] == ["PARAMETER", ["2019-10-02"], ["2019-10-02"], ["2019-10-03"], []]
    assert found[0]["data"] == {"d_model": 64, "output_dir": "out", "betas": [0.9, None], "none": None}
    assert found[2]["data"] == {"eval_loss": None, "eval_recall@5": 0.5}
    assert found[4]["data"]["eval_recall@5"] == 0.375
    assert found[4]["data"]["train_loss"] == 2.0
    assert all(entry["type"] == "LOG" for entry in found)
    times = [datetime.fromisoformat(entry["datetime"]) for entry in found]
    assert times == sorted(times)
    assert all(time.timestamp() == float(entry["timestamp"]) for time, entry in zip(times, found, strict=True))


def test_each_line_is_on_the_disk_at_once(tmp_path):
    log = DLLoggerJson(tmp_path)
    log.start({})
    assert len(entries(tmp_path)) == 1
    log.numbers(Report("2019-10-02", "eval", {"eval_loss": 1.0}))
    assert len(entries(tmp_path)) == 2


def test_a_run_that_goes_on_appends(tmp_path):
    DLLoggerJson(tmp_path).start({"run": 1})
    DLLoggerJson(tmp_path).start({"run": 2})
    assert [entry["data"]["run"] for entry in entries(tmp_path)] == [1, 2]


def test_a_line_that_a_kill_has_torn_is_removed(tmp_path):
    DLLoggerJson(tmp_path).start({"run": 1})
    whole = (tmp_path / "log.json").read_bytes()
    for torn in (b'DLLL {"timest', b"D"):
        (tmp_path / "log.json").write_bytes(whole + torn)
        DLLoggerJson(tmp_path).start({"run": 2})
        assert [entry["data"]["run"] for entry in entries(tmp_path)] == [1, 2]
    (tmp_path / "log.json").write_bytes(whole[:-1])
    DLLoggerJson(tmp_path).start({"run": 3})
    assert [entry["data"]["run"] for entry in entries(tmp_path)] == [3]
