"""Metrics by name against plain loops over lists, labels and items."""

from itertools import combinations
from math import log2

import pytest
import torch

from transformers4recsys.metrics.by_name import (
    LIST_CUTOFFS,
    METRICS_BY_NAME,
    OF_LISTS,
    KnownItems,
    MetricsByName,
    RankedTargets,
)
from transformers4recsys.metrics.diversity import IN_LISTS
from transformers4recsys.metrics.ranking import Ranks, rank_bounds

NUM_ITEMS, NUM_TARGETS = 40, 60


@pytest.fixture
def case():
    """Scores without ties, labels, counts of clicks with ties and zeros, and the items before each label."""
    generator = torch.Generator().manual_seed(4)
    scores = torch.rand(NUM_TARGETS, NUM_ITEMS, generator=generator)
    scores[:, 5:12] += 0.6
    labels = torch.randint(1, NUM_ITEMS, (NUM_TARGETS,), generator=generator)
    counts = torch.randint(0, 9, (NUM_ITEMS,), generator=generator) ** 2
    counts[0] = 0
    num_before = torch.randint(1, 8, (NUM_TARGETS,), generator=generator)
    return scores, labels, counts, num_before


@pytest.fixture
def numbers(case):
    """All metrics by name, over three batches."""
    scores, labels, counts, num_before = case
    metrics = MetricsByName(METRICS_BY_NAME, known(counts))
    for rows in torch.arange(NUM_TARGETS).split(25):
        targets = RankedTargets(
            rank_bounds(scores[rows], labels[rows]), counts[labels[rows]] == 0, labels[rows], num_before[rows]
        )
        metrics.update(targets, lambda k, rows=rows: (best(scores[rows], k), scores))
    return metrics.result()


def known(counts):
    """Sessions with an item are fewer than its clicks; a third of the items are of no known kind, the rest of three."""
    sessions = (counts + 1) // 2
    sessions[0] = int(counts.sum()) // 3
    kinds = torch.arange(len(counts)) % 4
    kinds[::3] = 0
    return KnownItems(counts, sessions, {"kind": kinds}, torch.nn.functional.one_hot(kinds, 4)[:, 1:].float() * 2)


def best(scores, k):
    return scores[:, 1:].topk(k).indices + 1


def plain(case):
    """Rank, label, count of the label and items before it, target by target; a label without a click is a miss."""
    scores, labels, counts, num_before = case
    for row, label in enumerate(labels.tolist()):
        rank = 1 + sum(score > scores[row, label] for score in scores[row, 1:].tolist())
        yield (rank if counts[label] else 10**6), label, int(counts[label]), int(num_before[row])


@pytest.mark.parametrize("k", LIST_CUTOFFS)
def test_what_lists_hold(k, case, numbers):
    scores, _, counts, _ = case
    listed = [item for row in best(scores, k).tolist() for item in row]
    clicks = counts.tolist()
    assert numbers[f"coverage@{k}"] == pytest.approx(len(set(listed)) / (NUM_ITEMS - 1))
    assert numbers[f"average_popularity@{k}"] == pytest.approx(
        sum(clicks[item] / sum(clicks) for item in listed) / len(listed)
    )
    bits = [-log2(max(clicks[item], 1) / sum(clicks)) for item in listed]
    assert numbers[f"surprisal@{k}"] == pytest.approx(sum(bits) / len(bits))
    sessions = known(counts).session_counts_V.tolist()
    bits = [-log2(max(sessions[item], 1) / sessions[0]) for item in listed]
    assert numbers[f"novelty@{k}"] == pytest.approx(sum(bits) / len(bits))
    times = [listed.count(item) for item in range(1, NUM_ITEMS)]
    differences = sum(abs(one - other) for one in times for other in times)
    assert numbers[f"gini@{k}"] == pytest.approx(differences / (2 * len(times) * sum(times)))


@pytest.mark.parametrize("k", LIST_CUTOFFS)
def test_how_unlike_the_items_of_a_list_are(k, case, numbers):
    scores, _, counts, _ = case
    kinds, values = known(counts).categories["kind"].tolist(), []
    for row in best(scores, k).tolist():
        pairs = [(kinds[one], kinds[other]) for one, other in combinations(row, 2) if kinds[one] and kinds[other]]
        values.append(sum(one != other for one, other in pairs) / len(pairs))
    assert numbers[f"kind_diversity@{k}"] == pytest.approx(sum(values) / len(values))
    # The vectors of one kind are alike, those of two are at right angles.
    assert numbers[f"intra_list_diversity@{k}"] == pytest.approx(sum(values) / len(values))


def test_hits(case, numbers):
    targets = list(plain(case))
    assert numbers["recall@1"] == pytest.approx(sum(rank == 1 for rank, *_ in targets) / NUM_TARGETS)
    clicks = case[2].tolist()
    for k in LIST_CUTOFFS:
        total = 0.0
        for rank, _, count, _ in targets:
            above = sum(other > count for other in clicks[1:])
            tied = sum(other == count for other in clicks[1:])
            share_in_popular = min(max(k - above, 0), tied) / tied
            total += (rank <= k) * (1 - share_in_popular)
        assert numbers[f"serendipity@{k}"] == pytest.approx(total / NUM_TARGETS)


def test_debiased_hits_weigh_by_the_inverse_of_clicks(case, numbers):
    weights = [(1 / max(count, 1), rank) for rank, _, count, _ in plain(case)]
    total = sum(weight for weight, _ in weights)
    assert numbers["debiased_recall@10"] == pytest.approx(sum(w for w, rank in weights if rank <= 10) / total)
    assert numbers["debiased_mrr@20"] == pytest.approx(sum(w / rank for w, rank in weights if rank <= 20) / total)


def test_parts_of_targets(case, numbers):
    targets, clicks = list(plain(case)), case[2].tolist()
    by_clicks = sorted(range(NUM_ITEMS), key=lambda item: (-clicks[item], item))
    before = {item: sum(clicks[each] for each in by_clicks[:place]) for place, item in enumerate(by_clicks)}
    parts = {
        "length_1": lambda label, num_before: num_before == 1,
        "length_2_to_4": lambda label, num_before: 2 <= num_before <= 4,
        "length_5_up": lambda label, num_before: num_before >= 5,
        "head": lambda label, _: before[label] < sum(clicks) / 3,
        "middle": lambda label, _: sum(clicks) / 3 <= before[label] < 2 * sum(clicks) / 3,
        "tail": lambda label, _: before[label] >= 2 * sum(clicks) / 3,
    }
    for name, holds in parts.items():
        ranks = [rank for rank, label, _, num_before in targets if holds(label, num_before)]
        assert len(ranks) > 3, name
        assert numbers[f"{name}_recall@10"] == pytest.approx(sum(rank <= 10 for rank in ranks) / len(ranks))
        assert numbers[f"{name}_ndcg@20"] == pytest.approx(
            sum(1 / log2(1 + rank) for rank in ranks if rank <= 20) / len(ranks)
        )


def test_no_target_gives_no_number():
    metrics = MetricsByName(METRICS_BY_NAME, known(torch.tensor([0, 3, 1])))
    nothing = torch.zeros(0, dtype=torch.long)
    metrics.update(
        RankedTargets(Ranks(nothing, nothing), nothing.bool(), nothing, nothing),
        lambda k: (torch.zeros(0, k, dtype=torch.long), torch.zeros(0, k)),
    )
    assert set(metrics.result().values()) == {None}


def test_lists_are_made_only_where_a_metric_needs_them(case):
    scores, labels, counts, num_before = case
    targets = RankedTargets(rank_bounds(scores, labels), counts[labels] == 0, labels, num_before)
    asked = []
    for name in METRICS_BY_NAME:
        metrics = MetricsByName([name], known(counts))
        metrics.update(targets, lambda k: (asked.append(k), (best(scores, k), scores))[1])
        assert bool(asked) == (name in (*OF_LISTS, *IN_LISTS)) and metrics.result()
        asked.clear()
