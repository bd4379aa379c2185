import xml.etree.ElementTree as ElementTree

import pytest

from transformers4recsys.reporting import charts
from transformers4recsys.reporting.charts import Axis

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_an_axis_places_its_ends_and_its_middle():
    assert [Axis(0, 10, 200, 100).place(value) for value in (0, 5, 10)] == [200, 150, 100]
    assert [Axis(1, 100, 0, 50, is_log=True).place(value) for value in (1, 10, 100)] == [0, 25, 50]


@pytest.mark.parametrize(
    ("low", "high", "is_log", "ticks"),
    [
        (0, 1.05, False, [0, 0.5, 1]),
        (0, 2400, False, [0, 500, 1000, 1500, 2000]),
        (1, 2400, True, [1, 10, 100, 1000]),
        (0, 4, False, [0, 1, 2, 3, 4]),
    ],
)
def test_ticks_are_round(low, high, is_log, ticks):
    assert Axis(low, high, 0, 1, is_log).ticks() == ticks


@pytest.mark.parametrize(
    ("value", "is_share", "text"),
    [(0, False, "0"), (950, False, "950"), (1234, False, "1.23k"), (2.5e6, False, "2.5M"), (0.125, True, "12.5 %")],
)
def test_numbers_are_short(value, is_share, text):
    assert charts.format_number(value, is_share=is_share) == text


def test_a_line_goes_through_its_points():
    svg = charts.lines("a < b", [0, 1, 2], {"up": [0, 5, 10]}, x_labels=["x", "y", "z"])
    (line,) = ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    left, right, bottom = charts.LEFT, charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM
    assert [x for x, _ in points] == [left, (left + right) / 2, right]
    # The axis reaches 5 % above the highest value.
    height = bottom - charts.TOP
    assert [y for _, y in points] == pytest.approx([bottom, bottom - height / 2.1, bottom - height / 1.05], abs=0.06)
    assert {"a < b", "x", "y", "z"} <= set(texts(svg))


def test_several_lines_have_a_legend_and_one_has_none():
    one = charts.lines("t", [0, 1], {"up": [0, 1]})
    two = charts.lines("t", [0, 1], {"up": [0, 1], "down": [1, 0]})
    assert "up" not in texts(one) and {"up", "down"} <= set(texts(two))


def test_bars_are_as_high_as_their_values():
    svg = charts.bars("t", ["2", "3"], [10, 5])
    heights = [float(bar.get("height")) for bar in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.1)


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0]])
def test_nothing_but_zeros_can_be_drawn(values):
    assert ElementTree.fromstring(charts.lines("t", range(len(values)), {"up": values})) is not None
    assert ElementTree.fromstring(charts.bars("t", ["a"] * len(values), values)) is not None


def test_labels_and_names_stay_inside_the_chart():
    svg = charts.lines("t", range(2), {"up": [1, 2]}, x_labels=["2024-01-01", "2024-01-02"])
    last = next(each for each in ElementTree.fromstring(svg).iter(f"{SVG}text") if each.text == "2024-01-02")
    assert float(last.get("x")) + 10 * charts.HALF_CHARACTER == pytest.approx(charts.WIDTH - 4)

    assert "0123456789...klmnopqrst" in charts.intervals("t", [("0123456789abcdefghijklmnopqrst", 0.1, 0, 0.2)])
