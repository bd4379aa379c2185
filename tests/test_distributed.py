"""What two processes share: sums, exact means over uneven shards, one file of predictions.

Run as a program (rank, folder), this file is one of the two processes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from transformers4recsys import distributed
from transformers4recsys.metrics.ranking import Ranks
from transformers4recsys.metrics.streaming import StreamingMean, StreamingMetrics
from transformers4recsys.outputs import Predictions, Report
from transformers4recsys.reporting.reporter import SINKS, Reporter

DAYS = ["2019-10-02", "2019-10-03", "2019-10-04"]
NUM_ABOVE_BY_RANK = [[0, 3, 8, 20, 200], [1]]
LABELS_BY_DAY_AND_RANK = [[[11, 12], [21]], [[], [22, 23]], [[], []]]


def test_alone_everything_is_a_no_op():
    distributed.barrier()
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.sum_over_ranks(torch.tensor([1, 2])).tolist() == [1, 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("two_processes")
    source = str(Path(distributed.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, __file__, str(rank), str(folder)] for rank in range(2)]
    processes = [subprocess.Popen(command, env=environment) for command in commands]
    try:
        assert [process.wait(timeout=60) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    return [json.loads((folder / f"answer_{rank}.json").read_text()) for rank in range(2)]


def test_each_process_knows_its_rank_and_gets_the_sum(answers):
    assert [answer["rank"] for answer in answers] == [[0, 2, True], [1, 2, False]]
    assert [answer["sum"] for answer in answers] == [[3, 30], [3, 30]]
    assert [answer["own"] for answer in answers] == [[1, 10], [2, 20]]


def test_means_are_over_all_targets_not_means_of_processes(answers):
    for answer in answers:
        assert answer["metrics"]["recall@5"] == pytest.approx(3 / 6)
        assert answer["metrics"]["mrr@10"] == pytest.approx((1 + 1 / 4 + 1 / 9 + 1 / 2) / 6)
        assert answer["num_targets"] == 6
        assert answer["loss"] == pytest.approx((2.0 * 5 + 8.0 * 1) / 6)


def test_predictions_of_all_processes_end_in_one_file(folder):
    names = sorted(path.name for path in (folder / "out" / "pred_logs").iterdir())
    assert names == ["preds_date_2019-10-02.parquet", "preds_date_2019-10-03.parquet"]
    labels = [pq.read_table(folder / "out" / "pred_logs" / name)["relevant_item_ids"].to_pylist() for name in names]
    assert labels == [[[11], [12], [21]], [[22], [23]]]


def test_the_first_process_alone_writes_the_results(folder):
    lines = (folder / "out" / "log.json").read_text().splitlines()
    steps = [json.loads(line.removeprefix("DLLL "))["step"] for line in lines]
    assert steps == ["PARAMETER", ["2019-10-02"], ["2019-10-03"], ["2019-10-04"], []]


def predictions_of(labels: list[int]) -> Predictions:
    count = len(labels)
    return Predictions(
        labels=torch.tensor(labels),
        item_ids=torch.zeros(count, 3, dtype=torch.long),
        scores=torch.zeros(count, 3),
        positions=torch.zeros(count, dtype=torch.long),
        lengths=torch.ones(count, dtype=torch.long),
        metrics={},
        metadata={},
    )


def work(rank: int, folder: Path) -> None:
    """Be one of two processes with uneven work, and write down what it saw."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    own = torch.tensor([1, 10]) * (rank + 1)
    metrics, loss = StreamingMetrics(), StreamingMean()
    for above in NUM_ABOVE_BY_RANK[rank]:
        metrics.update(Ranks(torch.tensor([above]), torch.tensor([0])))
    loss.update(torch.tensor([2.0, 8.0][rank]), weight=len(NUM_ABOVE_BY_RANK[rank]))
    answer = {
        "rank": [distributed.rank(), distributed.world_size(), distributed.is_main()],
        "sum": distributed.sum_over_ranks(own).tolist(),
        "own": own.tolist(),
        "metrics": metrics.result(),
        "num_targets": metrics.num_targets(),
        "loss": loss.result(),
    }
    reporter = Reporter([make(folder / "out") for make in SINKS.values()], {})
    for day, labels_by_rank in zip(DAYS, LABELS_BY_DAY_AND_RANK, strict=True):
        if labels_by_rank[rank]:
            reporter.predictions(predictions_of(labels_by_rank[rank]), day)
        reporter.numbers(Report(day, "eval", {"eval_loss": 1.0}))
    reporter.close()
    distributed.barrier()
    (folder / f"answer_{rank}.json").write_text(json.dumps(answer))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
