"""Measure lists of recommendations beside plain PyTorch: python benchmarks/recommending.py [--items 10000 1000000].

Made-up hidden states, item vectors and biases, width 64; 256 sessions at a time, the best 20 items of each. Plain is
topk() of the full product. Each way has a process of its own, and they take turns; a JSON line each with sessions by
second of processor time and of the clock, the median of the repeats, and the peak memory beyond that of the item
vectors and the libraries. Compare numbers of one run with one another. The recall of the
approximate index is that of the exact lists; vectors drawn at random, as here, are the hardest for it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from transformers4recsys.recommender.filters import Filters, ItemLists
from transformers4recsys.recommender.item_ids import ItemIds
from transformers4recsys.recommender.lists import ListMaker

WIDTH, SESSIONS, K = 64, 256, 20
Way = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, ListMaker], Callable[[], object]]


def plain(hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker) -> Callable[[], object]:
    return lambda: torch.addmm(bias, hidden, table.T).topk(K, dim=1)


def plain_without_seen(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    seen = torch.from_numpy(np.array(some_items(len(table), 20)))
    return lambda: torch.addmm(bias, hidden, table.T).scatter_(1, seen, -torch.inf).topk(K, dim=1)


def of_lists(filters: Callable[[int], Filters], *, has_index: bool = False, as_table: bool = False) -> Way:
    def prepare(
        hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
    ) -> Callable[[], object]:
        if has_index:
            start = time.process_time()
            maker.use_index()
            made = time.process_time() - start
            best = torch.addmm(bias, hidden, table.T).topk(K, dim=1).indices.numpy()
            found = maker.of_hidden(hidden, range(SESSIONS), some_items(len(table), 20), filters(len(table))).items
            recall = np.mean([np.isin(row, own).mean() for row, own in zip(best, found, strict=True)])
            show(items=len(table), index_made_in_processor_seconds=round(made, 1), recall=round(float(recall), 3))
        asked, names, seen = filters(len(table)), range(SESSIONS), some_items(len(table), 20)
        places, ids = np.arange(SESSIONS), pa.array(range(SESSIONS))

        def make() -> object:
            lists = maker.of_hidden(hidden, names, seen, asked)
            return maker.table(ids, [(places, lists, False)]) if as_table else lists

        return make

    return prepare


def torch_ranker(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    rank = import_module("rectools.models.rank")
    ranker = rank.TorchRanker(rank.Distance.DOT, "cpu", hidden, table, batch_size=SESSIONS)
    return lambda: ranker.rank(subject_ids=np.arange(SESSIONS), k=K)


def implicit_ranker(
    hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, maker: ListMaker
) -> Callable[[], object]:
    rank = import_module("rectools.models.rank")
    ranker = rank.ImplicitRanker(rank.Distance.DOT, hidden.numpy(), table.numpy())
    return lambda: ranker.rank(subject_ids=np.arange(SESSIONS), k=K)


def some_items(num_items: int, number: int) -> list[list[int]]:
    return np.random.default_rng(3).integers(1, num_items, (SESSIONS, number)).tolist()


WAYS: dict[str, Way] = {
    "plain": plain,
    "lists": of_lists(lambda num_items: Filters(K)),
    "plain, seen items left out": plain_without_seen,
    "lists, seen items left out": of_lists(lambda num_items: Filters(K, exclude_seen=True)),
    "lists, 1,000 candidates": of_lists(
        lambda num_items: Filters(K, candidates=ItemLists(tuple(some_items(num_items, 1_000)[0])))
    ),
    "lists, 100 candidates a session": of_lists(
        lambda num_items: Filters(K, candidates=ItemLists(None, dict(enumerate(some_items(num_items, 100)))))
    ),
    "lists as a table of raw ids": of_lists(lambda num_items: Filters(K), as_table=True),
    "lists by an approximate index": of_lists(lambda num_items: Filters(K), has_index=True),
}
# They need `pip install rectools`, and leave the biases out.
OTHERS: dict[str, Way] = {"RecTools' TorchRanker": torch_ranker, "RecTools' ImplicitRanker": implicit_ranker}


def measure(way: str, num_items: int, repeats: int) -> None:
    generator = torch.Generator().manual_seed(7)
    table = torch.randn(num_items + 1, WIDTH, generator=generator)
    bias = torch.randn(num_items + 1, generator=generator)
    bias[0] = -torch.inf
    hidden = torch.randn(SESSIONS, WIDTH, generator=generator)
    item_ids = ItemIds.from_vocabulary(None, num_items=num_items + 1)
    run = (WAYS | OTHERS)[way](
        hidden, table, bias, ListMaker(table, bias, item_ids, torch.ones(num_items + 1, dtype=torch.long))
    )
    # A first run on a few sessions loads what is needed.
    torch.addmm(bias[:9], hidden[:2], table[:9].T).topk(2, dim=1)
    # All of the table is in memory, and Linux begins a new peak, here.
    table.sum()
    Path("/proc/self/clear_refs").write_text("5")
    before, times = peak_mb(), []
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        run()
        times.append((time.process_time() - processor, time.perf_counter() - clock))
    processor, clock = (SESSIONS / statistics.median(each) for each in zip(*times, strict=True))
    show(
        items=num_items,
        way=way,
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
    parser.add_argument("--ways", nargs="+", choices=WAYS | OTHERS, default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        torch.set_num_threads(given.threads)
        measure(given.way, given.items[0], given.repeats)
        return
    for number in given.items:
        for way in given.ways:
            flags = ["--way", way, "--items", str(number), "--repeats", str(given.repeats)]
            subprocess.run([sys.executable, __file__, *flags, "--threads", str(given.threads)], check=True)


if __name__ == "__main__":
    main()
