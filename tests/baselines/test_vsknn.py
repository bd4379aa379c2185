from math import log10

import pytest

from transformers4recsys.baselines.vsknn import VsknnSettings, vsknn


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


@pytest.mark.parametrize("name", ["div", "quadratic", "linear", "log", "same"])
@pytest.mark.parametrize(("k", "sample"), [(500, 5000), (4, 9), (2, 30)])
def test_vsknn(name, k, sample, check_neighbours):
    settings = VsknnSettings(k, sample, vsknn_weighting=name, vsknn_weighting_score=name, vsknn_idf=0.7)
    check_neighbours(vsknn, settings, k=k, sample=sample, weight=by_position(name), match=by_match(name), idf=0.7)
