"""Session neighbours against their definitions, session by session, as the papers write them."""

from functools import partial
from math import exp, log, log10, sqrt

import numpy as np
import pytest

from transformers4recsys.baselines import neighbours
from transformers4recsys.baselines.neighbours import most_similar
from transformers4recsys.baselines.stan import StanSettings, stan
from transformers4recsys.baselines.vsknn import VsknnSettings, vsknn
from transformers4recsys.baselines.vstan import VstanSettings, vstan

NUM_ITEMS = 15


def plain_scores(days, query, *, k, sample, weight, match, is_cosine=False, age=None, distance=None, idf=0.0):
    """Score all items for one session by a definition; `weight(from_end, length)`, `match(from_end)` and so on."""
    sessions = [(number, session) for number, day in enumerate(days) for session in day]
    place_of = {item: place for place, item in enumerate(query)}
    from_end = {item: len(query) - 1 - place for item, place in place_of.items()}
    latest = [each for each in sessions if set(each[1]) & set(query)][-sample:]
    found = []
    for order, (day, session) in enumerate(latest):
        shared = sorted(set(session) & set(query), key=from_end.__getitem__)
        similarity = sum(weight(from_end[item], len(query)) for item in shared)
        if is_cosine:
            similarity /= sqrt(len(set(session)))
        if age:
            similarity *= age(len(days) - 1 - day)
        found.append((similarity, order, session, shared))
    scores = [0.0] * NUM_ITEMS
    for similarity, _, session, shared in sorted(found, key=lambda each: each[:2], reverse=True)[:k]:
        last_place = {item: place for place, item in enumerate(session)}
        last_shared = max(last_place[item] for item in shared)
        for item, place in last_place.items():
            score = similarity * match(from_end[shared[0]])
            if distance:
                score *= distance(abs(place - last_shared))
            num_with_item = sum(item in each for _, each in sessions)
            scores[item] += score * (1 + idf * log(len(sessions) / num_with_item))
    return scores


def by_position(name):
    return {
        "div": lambda from_end, length: (length - from_end) / length,
        "quadratic": lambda from_end, length: ((length - from_end) / length) ** 2,
        "linear": lambda from_end, length: 1 - 0.1 * from_end,
        "log": lambda from_end, length: 1 / log10(from_end + 1.7),
        "same": lambda from_end, length: 1,
    }[name]


def by_match(name):
    return {
        "div": lambda from_end: 1 / (from_end + 1),
        "quadratic": lambda from_end: 1 / (from_end + 1) ** 2,
        "linear": lambda from_end: 1 - 0.1 * (from_end + 1),
        "log": lambda from_end: 1 / log10(from_end + 1 + 1.7),
        "same": lambda from_end: 1,
    }[name]


@pytest.fixture
def check(days, queries, learned, scored, monkeypatch):
    def compare(make, settings, **definition):
        expected = [plain_scores(days, query, **definition) for query in queries]
        # In parts of any size the scores are the same.
        for at_a_time in (neighbours.PLACES_AT_A_TIME, 20):
            monkeypatch.setattr(neighbours, "PLACES_AT_A_TIME", at_a_time)
            scores = scored(learned(partial(make, settings), days), queries)
            for row, plain in zip(scores.tolist(), expected, strict=True):
                assert row == pytest.approx(plain)
        assert np.count_nonzero(expected) > 20

    return compare


@pytest.mark.parametrize("name", ["div", "quadratic", "linear", "log", "same"])
@pytest.mark.parametrize(("k", "sample"), [(500, 5000), (4, 9), (2, 30)])
def test_vsknn(name, k, sample, check):
    settings = VsknnSettings(k, sample, vsknn_weighting=name, vsknn_weighting_score=name, vsknn_idf=0.7)
    check(vsknn, settings, k=k, sample=sample, weight=by_position(name), match=by_match(name), idf=0.7)


@pytest.mark.parametrize(("k", "sample"), [(500, 5000), (4, 9)])
def test_stan(k, sample, check):
    settings = StanSettings(k, sample, stan_lambda_spw=1.3, stan_lambda_snh=2.0, stan_lambda_inh=0.8)
    definition = {
        "weight": lambda from_end, length: exp(-from_end / 1.3),
        "match": lambda from_end: 1,
        "age": lambda days: exp(-days / 2.0),
        "distance": lambda places: exp(-places / 0.8),
    }
    check(stan, settings, k=k, sample=sample, is_cosine=True, **definition)


@pytest.mark.parametrize(("k", "sample"), [(500, 5000), (4, 9)])
def test_vstan(k, sample, check):
    settings = VstanSettings(k, sample, 1.3, 2.0, 0.8, vstan_lambda_ipw=0.9, vstan_lambda_idf=1.5)
    definition = {
        "weight": lambda from_end, length: exp(-from_end / 1.3),
        "match": lambda from_end: exp(-from_end / 0.9),
        "age": lambda days: exp(-days / 2.0),
        "distance": lambda places: exp(-places / 0.8),
    }
    check(vstan, settings, k=k, sample=sample, is_cosine=True, idf=1.5, **definition)


def test_sessions_that_no_sample_can_have_are_let_go(learned):
    make = partial(vsknn, VsknnSettings(vsknn_sample_size=2))
    days = [[[1, 2]] * 50, [[1, 2], [1, 3]] * 20]
    state = learned(make, days).state()
    # Of items 1, 2 and 3 the last two sessions each: four sessions have one of these places.
    assert len(state["days"]) == 4 and state["num_sessions"].tolist() == [90]
    assert state["sessions_of_item"].tolist() == [0, 90, 70, 20]


def test_of_equally_similar_sessions_the_latest_are_kept():
    rows = np.array([0, 0, 0, 0, 2, 2, 2])
    similarity = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    assert most_similar(rows, similarity, 2).tolist() == [False, True, False, True, False, True, True]
    assert most_similar(rows, similarity, 3).tolist() == [False, True, True, True, True, True, True]
    assert most_similar(rows[:0], similarity[:0], 3).tolist() == []
