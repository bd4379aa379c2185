from collections import Counter
from functools import partial

import pytest

from transformers4recsys.baselines.itemknn import ItemKnn, ItemKnnSettings

NUM_ITEMS = 15


def plain_similarity(days, regularization, alpha):
    """Similarity of the last item to another one, pair of clicks by pair."""
    sessions = [session for day in days for session in day]
    clicks = Counter(item for session in sessions for item in session)
    together: Counter[tuple[int, int]] = Counter()
    for session in sessions:
        together.update((one, other) for one in session for other in session if one != other)

    def similarity(one, other):
        norm = (clicks[one] + regularization) ** alpha * (clicks[other] + regularization) ** (1 - alpha)
        return together[one, other] / norm if norm else 0.0

    return similarity


@pytest.mark.parametrize(("regularization", "alpha"), [(20.0, 0.5), (0.0, 1.0), (3.0, 0.2)])
def test_similarity_is_that_of_pairs_of_clicks(regularization, alpha, days, queries, learned, scored):
    settings = ItemKnnSettings(itemknn_regularization=regularization, itemknn_alpha=alpha)
    baseline = learned(partial(ItemKnn, settings), days)
    similarity = plain_similarity(days, regularization, alpha)
    for query, row in zip(queries, scored(baseline, queries).tolist(), strict=True):
        expected = [similarity(query[-1], item) if query else 0 for item in range(NUM_ITEMS)]
        assert row == pytest.approx(expected)


def test_the_most_similar_items_alone_are_scored(days, queries, learned, scored):
    few = learned(partial(ItemKnn, ItemKnnSettings(itemknn_neighbours=3)), days)
    all_of_them = learned(partial(ItemKnn, ItemKnnSettings()), days)
    for some, whole in zip(scored(few, queries), scored(all_of_them, queries), strict=True):
        best = sorted(range(NUM_ITEMS), key=lambda item: (-whole[item], item))[:3]
        assert some.tolist() == [whole[item] if item in best else 0 for item in range(NUM_ITEMS)]
