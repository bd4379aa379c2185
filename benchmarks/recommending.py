"""Measure lists of recommendations beside plain PyTorch: python benchmarks/recommending.py [--items 10000 1000000].

Made-up hidden states, item vectors and biases, width 64; 256 sessions at a time, the best 20 items of each. Plain is
topk() of the full product. Each way has a process of its own, and they take turns; a JSON line each with sessions by
second of processor time and of the clock, the median of the repeats, and the peak memory beyond that of the item
vectors and the libraries. Compare numbers of one run with one another. With `--run results --day FILE` vectors and
biases are those of a trained run, and hidden states those of the sessions of a day file less their last item. The
recall of the approximate index is that of the exact lists; vectors drawn at random are the hardest for it. `--graph`
builds it otherwise than `recommend` does: connectivity, and items looked at for each while added and while searched.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, astuple
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from transformers4recsys.recommender import Recommender
from transformers4recsys.recommender.approximate import CHOSEN, Graph
from transformers4recsys.recommender.filters import Filters, ItemLists
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.lists import ListMaker
from transformers4recsys.run_folder import RunFolder

WIDTH, K, MANY = 64, 20, 256
Way = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, ListMaker], Callable[[], object]]


def plain(hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker) -> Callable[[], object]:
    return lambda: torch.addmm(bias, hidden, table.T).topk(K, dim=1)


def plain_without_seen(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    seen = torch.from_numpy(np.array(some_items(len(table), 20, len(hidden))))
    return lambda: torch.addmm(bias, hidden, table.T).scatter_(1, seen, -torch.inf).topk(K, dim=1)


def of_lists(filters: Callable[[int], Filters], *, as_table: bool = False) -> Way:
    def prepare(
        hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
    ) -> Callable[[], object]:
        asked, names, seen = filters(len(table)), range(len(hidden)), some_items(len(table), 20, len(hidden))
        places, ids = np.arange(len(hidden)), pa.array(range(len(hidden)))

        def make() -> object:
            lists = maker.of_hidden(hidden, names, seen, asked)
            return maker.table(ids, [(places, lists, False)]) if as_table else lists

        return make

    return prepare


def torch_ranker(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    rank = import_module("rectools.models.rank")
    ranker = rank.TorchRanker(rank.Distance.DOT, "cpu", hidden, table, batch_size=len(hidden))
    return lambda: ranker.rank(subject_ids=np.arange(len(hidden)), k=K)


def implicit_ranker(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    rank = import_module("rectools.models.rank")
    ranker = rank.ImplicitRanker(rank.Distance.DOT, hidden.numpy(), table.numpy())
    return lambda: ranker.rank(subject_ids=np.arange(len(hidden)), k=K)


def top_items_callback(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    lightning, head = import_module("lightning"), import_module("replay.nn.head").EmbeddingTyingHead()
    nn = import_module("replay.nn.lightning")
    callbacks = import_module("replay.nn.lightning.callback")

    class Scorer(torch.nn.Module):
        """Takes hidden states for the model's, as all other ways do."""

        def forward(self, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": head(hidden, table)}

    batch = {"hidden": hidden, "query_id": torch.arange(len(hidden))}
    batches = cast(Dataset[dict[str, torch.Tensor]], [batch] * BATCHES)
    loader = DataLoader(batches, batch_size=None)
    module = nn.LightningModule(Scorer())

    def predict() -> object:
        callback = callbacks.TorchTopItemsCallback(K, "query_id")
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(callbacks=[callback], accelerator="cpu", inference_mode=True, **quiet)
        trainer.predict(module, dataloaders=loader, return_predictions=False)
        return callback.get_result()

    return predict


def some_items(num_items: int, number: int, sessions: int) -> list[list[int]]:
    return np.random.default_rng(3).integers(1, num_items, (sessions, number)).tolist()


INDEXED = "lists by an approximate index"
WAYS: dict[str, Way] = {
    "plain": plain,
    "lists": of_lists(lambda num_items: Filters(K)),
    "plain, seen items left out": plain_without_seen,
    "lists, seen items left out": of_lists(lambda num_items: Filters(K, exclude_seen=True)),
    "lists, 1,000 candidates": of_lists(
        lambda num_items: Filters(K, candidates=ItemLists(tuple(some_items(num_items, 1_000, 1)[0])))
    ),
    "lists, 100 candidates a session": of_lists(
        lambda num_items: Filters(K, candidates=ItemLists(None, dict(enumerate(some_items(num_items, 100, MANY)))))
    ),
    "lists as a table of raw ids": of_lists(lambda num_items: Filters(K), as_table=True),
    INDEXED: of_lists(lambda num_items: Filters(K)),
}
# They need `pip install rectools` and `pip install 'replay-rec[torch]'`, and leave the biases out.
REPLAY = "RePlay's TorchTopItemsCallback"
OTHERS: dict[str, Way] = {
    "RecTools' TorchRanker": torch_ranker,
    "RecTools' ImplicitRanker": implicit_ranker,
    REPLAY: top_items_callback,
}
# What Lightning does before the first batch and after the last one is shared by so many.
BATCHES = 20


Model = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def made_up(num_items: int, sessions: int) -> Model:
    """Give hidden states, item vectors and biases."""
    generator = torch.Generator().manual_seed(7)
    table = torch.randn(num_items + 1, WIDTH, generator=generator)
    bias = torch.randn(num_items + 1, generator=generator)
    bias[0] = -torch.inf
    return torch.randn(sessions, WIDTH, generator=generator), table, bias


def trained(run: str, day: str, sessions: int) -> Model:
    """Give the same of a run, and of the first sessions of a day file less their last item."""
    recommender = Recommender.load(run, device="cpu")
    rows = pq.read_table(day, columns=[RunFolder.open(run).schema.item_id.name]).slice(0, sessions).column(0)
    raw = recommender.item_ids.to_pylist()
    hidden = recommender.encode([[raw[item] for item in row[:-1]] for row in rows.to_pylist()])
    hidden, table, bias = map(torch.from_numpy, (hidden, recommender.item_vectors, recommender.item_bias))
    return hidden, table, bias


def measure_index(model: Model, maker: ListMaker, graph: Graph, repeats: int) -> None:
    """Let lists be made of what an index finds; show what it takes to build and search, and how much it finds."""
    hidden, table, bias = model
    start = time.process_time()
    index = maker.use_index(graph)
    built, times = time.process_time() - start, []
    for _ in range(repeats):
        start = time.process_time()
        index.find(hidden, K)
        times.append(time.process_time() - start)
    best = torch.addmm(bias, hidden, table.T).topk(K, dim=1).indices.numpy()
    found = maker.of_hidden(hidden, range(len(hidden)), [()] * len(hidden), Filters(K)).items
    recall = np.mean([np.isin(row, own).mean() for row, own in zip(best, found, strict=True)])
    show(
        items=len(table) - 1,
        **asdict(graph),
        index_made_in_processor_seconds=round(built, 1),
        searches_by_processor_second=round(len(hidden) / statistics.median(times)),
        recall=round(float(recall), 3),
    )


def measure(way: str, model: Model, repeats: int, graph: Graph) -> None:
    hidden, table, bias = model
    item_ids = ItemIds.from_vocabulary(None, num_items=len(table))
    maker = ListMaker(table, bias, item_ids, torch.ones(len(table), dtype=torch.long))
    if way == INDEXED:
        measure_index(model, maker, graph, repeats)
    run = (WAYS | OTHERS)[way](hidden, table, bias, maker)
    # A first run on a few sessions loads what is needed.
    torch.addmm(bias[:9], hidden[:2], table[:9].T).topk(2, dim=1)
    if way == REPLAY:
        run()
    # All of the table is in memory, and Linux begins a new peak, here.
    table.sum()
    Path("/proc/self/clear_refs").write_text("5")
    before, times = peak_mb(), []
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        run()
        times.append((time.process_time() - processor, time.perf_counter() - clock))
    sessions = len(hidden) * (BATCHES if way == REPLAY else 1)
    processor, clock = (sessions / statistics.median(each) for each in zip(*times, strict=True))
    show(
        items=len(table) - 1,
        way=way,
        at_a_time=len(hidden),
        sessions_by_processor_second=round(processor),
        sessions_by_second=round(clock),
        peak_mb=round(peak_mb() - before),
        threads=torch.get_num_threads(),
    )


def peak_mb() -> float:
    # Of this process alone; what getrusage() gives counts the process that started it.
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def show(**numbers: object) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--run", help="run folder whose vectors are measured in place of made-up ones")
    parser.add_argument("--day", help="day file of sessions for --run")
    parser.add_argument("--sessions", type=int, default=MANY, help="at a time")
    parser.add_argument("--ways", nargs="+", choices=WAYS | OTHERS, default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--graph", nargs=3, type=int, default=astuple(CHOSEN), help="of the approximate index")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        torch.set_num_threads(given.threads)
        if given.run:
            model = trained(given.run, given.day, given.sessions)
        else:
            model = made_up(given.items[0], given.sessions)
        measure(given.way, model, given.repeats, Graph(*given.graph))
        return
    flags = ["--repeats", str(given.repeats), "--threads", str(given.threads), "--sessions", str(given.sessions)]
    flags += ["--graph", *map(str, given.graph)]
    if given.run:
        flags += ["--run", given.run, "--day", given.day]
    for number in [1] if given.run else given.items:
        for way in given.ways:
            subprocess.run([sys.executable, __file__, "--way", way, "--items", str(number), *flags], check=True)


if __name__ == "__main__":
    main()
