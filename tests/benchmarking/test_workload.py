"""Made-up sessions are as long, as popular and as alike as asked for."""

import numpy as np
import pyarrow.parquet as pq

from transformers4recsys.benchmarking.workload import write_sessions


def test_lengths_ids_and_followers(tmp_path):
    write_sessions(tmp_path / "a.parquet", num_items=50, num_sessions=4000, length=5.5, longest=20, seed=1)
    sessions = pq.read_table(tmp_path / "a.parquet")["items"].to_pylist()
    lengths = np.array([len(session) for session in sessions])
    assert len(sessions) == 4000 and lengths.min() == 2 and lengths.max() == 20
    assert abs(lengths.mean() - 5.5) < 0.2
    items = np.concatenate(sessions)
    assert items.min() == 1 and items.max() == 50
    # By Zipf's law over 50 items the most popular has a share of 1 / H(50) = 0.22.
    assert abs(np.bincount(items).max() / len(items) - 0.22) < 0.1
    counts = np.zeros((51, 51))
    for session in sessions:
        np.add.at(counts, (session[:-1], session[1:]), 1)
    of_best_eight = np.sort(counts, axis=1)[:, -8:].sum() / counts.sum()
    assert of_best_eight > 0.6


def test_the_seed_decides(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.parquet"
        write_sessions(path, num_items=9, num_sessions=50, length=4, longest=9, seed=seed)
    tables = [pq.read_table(tmp_path / f"{name}.parquet") for name in "abc"]
    assert tables[0] == tables[1] != tables[2]
