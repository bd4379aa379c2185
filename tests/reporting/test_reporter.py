"""The reporter hands all on to all sinks, in order."""

import json

import torch

from transformers4recsys import distributed
from transformers4recsys.outputs import Predictions, Report
from transformers4recsys.reporting.reporter import SINKS, Reporter
from transformers4recsys.reporting.sink import Sink

DAY = "2019-10-02"
NOTHING = torch.zeros(0)
PREDICTIONS = Predictions(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, {}, {})


class Recorder(Sink):
    def __init__(self, calls: list, name: str, *, is_on_every_rank: bool = False):
        self.calls, self.name = calls, name
        self.is_on_every_rank = is_on_every_rank

    def start(self, settings):
        self.calls.append((self.name, "start", dict(settings)))

    def numbers(self, report):
        self.calls.append((self.name, "numbers", report.split))

    def predictions(self, predictions, day):
        self.calls.append((self.name, "predictions", day))

    def close(self):
        self.calls.append((self.name, "close", None))


def use(reporter: Reporter) -> None:
    reporter.predictions(PREDICTIONS, DAY)
    reporter.numbers(Report(DAY, "eval", {}))
    reporter.close()


def test_every_sink_gets_every_call():
    calls = []
    use(Reporter([Recorder(calls, "a"), Recorder(calls, "b")], {"seed": 1}))
    steps = [("start", {"seed": 1}), ("predictions", DAY), ("numbers", "eval"), ("close", None)]
    assert calls == [(name, *step) for step in steps for name in "ab"]


def test_other_processes_have_only_the_sinks_meant_for_them(monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    calls = []
    use(Reporter([Recorder(calls, "first only"), Recorder(calls, "all", is_on_every_rank=True)], {}))
    assert {name for name, *_ in calls} == {"all"}


def test_a_sink_need_not_care_for_everything():
    class Silent(Sink):
        pass

    use(Reporter([Silent()], {}))


def test_all_outputs_of_a_small_run(tmp_path, capsys):
    reporter = Reporter([make(tmp_path) for make in SINKS.values()], {"seed": 1})
    one = torch.tensor([4])
    predictions = Predictions(one, one[:, None], one[:, None].float(), one, one, {"mrr@5": one.double()}, {})
    reporter.predictions(predictions, DAY)
    reporter.numbers(Report(DAY, "train", {"train_loss": 2.0}))
    reporter.numbers(Report(DAY, "eval", {"eval_loss": 1.0}))
    reporter.close()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "eval_results_avg_over_days.txt",
        "eval_results_dates.txt",
        "eval_train_results_dates.csv",
        "log.json",
        "pred_logs/preds_date_2019-10-02.parquet",
        "train_results_dates.txt",
    ]
    mean = json.loads((tmp_path / "log.json").read_text().splitlines()[-1].removeprefix("DLLL "))
    assert (mean["step"], mean["data"]) == ([], {"num_days": 1, "eval_loss": 1.0, "train_loss": 2.0})
    assert "pred_logs" in capsys.readouterr().out
