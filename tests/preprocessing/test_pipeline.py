import pytest

from transformers4recsys.preprocessing.pipeline import bundles


@pytest.mark.parametrize(
    ("limit", "at_first", "expected"),
    [
        (100, 1, [[1, 2, 4, 5]]),
        (30, 1, [[1, 2], [4], [5]]),
        (30, 3, [[1, 2, 4], [5]]),
        (1, 1, [[1], [2], [4], [5]]),
    ],
)
def test_days_are_bundled_up_to_a_number_of_events(limit, at_first, expected):
    assert bundles({4: 25, 1: 10, 2: 20, 5: 30}, limit, at_first=at_first) == expected
